"""Files from addresses on the web: which may be asked, how they are asked, and how a file of one comes here whole."""
