/* Properties of every rendering; shared by the unit test and the fuzz target. */
#ifndef EXAMINER_CHECK_RENDER_H
#define EXAMINER_CHECK_RENDER_H

#include "examiner/render.h"

#include <jansson.h>

/* Renders and reads it back with jansson; aborts where a promise is broken. The caller owns it. */
json_t *check_render(const struct render_request *request);

#endif
