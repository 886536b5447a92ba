quern runs /nonexistent
