"""Camera poses from pictures alone: static, rotation-only and moving cameras told apart, wrong models refused."""
