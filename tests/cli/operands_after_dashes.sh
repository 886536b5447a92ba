# Behind -- a word that begins with a dash is a path.
quern runs -- --json
