/*
 * The administrator's commands (account/admin/command.h lists them): reads the command line, asks
 * the running service over its local socket, and shows the answer.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* The program's main function for every subcommand that is not a role's. Gives the exit code. */
int cli_main(int argc, char **argv);

#endif
