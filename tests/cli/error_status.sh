# A missing folder fails (1), and --json says so on stdout too.
quern pack /nonexistent/model --json -o out
