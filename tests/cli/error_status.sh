# What fails (1) says so on stderr, and with --json on stdout too, with its status.
quern pack /nonexistent/model --json -o out 2>message | cut -c 1-40
echo "exit ${PIPESTATUS[0]}"
head -n 1 message
