/* Embeds the descriptor set. Top-level assembly, because a C array of half a megabyte costs
 * seconds of compile time; the object is rebuilt when the file changes (see CMakeLists.txt). */
#include "proto/descriptors.h"

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".global hf_descriptor_set_begin\n"
        ".hidden hf_descriptor_set_begin\n"
        "hf_descriptor_set_begin:\n"
        ".incbin \"" HF_DESCRIPTOR_SET_FILE "\"\n"
        ".global hf_descriptor_set_end\n"
        ".hidden hf_descriptor_set_end\n"
        "hf_descriptor_set_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const uint8_t hf_descriptor_set_begin[] __attribute__((visibility("hidden")));
extern const uint8_t hf_descriptor_set_end[] __attribute__((visibility("hidden")));

const uint8_t *proto_descriptor_set(size_t *ret_len)
{
    *ret_len = (size_t)(hf_descriptor_set_end - hf_descriptor_set_begin);
    return hf_descriptor_set_begin;
}
