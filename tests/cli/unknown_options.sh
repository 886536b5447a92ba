# Each line of the expected output is the first line of a message.
for option in --typs --split --dry-runn --json=1 -x -qx --zzzzzzzzzz; do
    quern pack $option 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
done
