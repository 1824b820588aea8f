"""How good generated video is, held to the true one."""
