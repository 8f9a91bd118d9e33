/*
 * Functions that this code never calls: no bounds, hidden state, locale, or a surprise in the sign
 * of a char. A test (tests/banned.sh) looks for each word of the line below in src/.
 *
 * strcpy strcat strncpy sprintf vsprintf strtok sscanf atoi atol gmtime localtime alloca
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H
#endif
