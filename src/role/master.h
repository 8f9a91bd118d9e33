/* `sealpost serve`: starts the roles, connects them, restarts what dies, reloads, stops in order. */
#ifndef ROLE_MASTER_H
#define ROLE_MASTER_H

/*
 * In the foreground, until SIGTERM or SIGINT (SIGHUP reloads). Gives the exit status: 0 after an
 * orderly stop, 1 when it could not start; the log on standard error says why.
 */
int master_run(const char *config_file);

#endif
