/* Inside codec only: what a plain YAML scalar means (YAML 1.2 core schema without octal, hex and
 * infinities). Pure. */
#ifndef HF_CODEC_SCALAR_H
#define HF_CODEC_SCALAR_H

#include "codec/json.h"

/* Kind, boolean, number and real of text; text itself stays unset. Returns NULL, or a static fault
 * ("a number is out of range"). */
const char *codec_scalar_resolve(const char *text, struct codec_value *ret_value);

#endif
