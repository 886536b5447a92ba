quern --help >&-
