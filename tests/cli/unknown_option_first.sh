# An option before the command.
quern --json pack
