/*
 * `sealpost restore-host`: what a host that was lost had, from where its backups are, with the host
 * key, into a data folder that has no accounts yet; before the service is started there.
 *
 *   1. the newest copy of the account database that the host key opens, as account/restoring.sqlite
 *   2. of each mailbox the newest copy of its drop box, and its newest full backup where the log
 * has nothing more; then, as nobody knows what was lost with the last second, the accounts are made
 * to have seen more of it, so that mail programs load it anew (vault/vault.c, roll-back)
 *   3. the account database gets its name
 *
 * What a crash leaves: before 3 a service does not start (premises_check_restored), and the command
 * goes on when it is run again: files that have their names are whole (backup/set_down.h) and stay.
 */
#ifndef CLI_RESTORE_HOST_H
#define CLI_RESTORE_HOST_H

/* Gives the exit code. */
int cli_restore_host(const char *config_file);

#endif
