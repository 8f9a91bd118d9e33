/*
 * Functions that this code never calls: no bounds, hidden state, locale, or a surprise in the sign
 * of a char. Included on the compiler's command line after the system headers would be too early,
 * so it is included last by .c files through the build's check (tools read the list from here).
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/* strcpy strcat strncpy sprintf vsprintf strtok sscanf atoi atol gmtime localtime alloca */

#endif
