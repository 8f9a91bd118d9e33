/*
 * `sealpost spam train spam|ham FILE…` and `sealpost spam status`: the host's shared model, a file in
 * the data folder. They work on the file alone; the service need not run, and takes a new model over
 * when it reads its configuration again.
 */
#ifndef CLI_SPAM_H
#define CLI_SPAM_H

/* `sealpost spam …`. Gives the exit code. */
int cli_spam(int argc, char **argv);

#endif
