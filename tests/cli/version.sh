quern --version
