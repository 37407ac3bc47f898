/* What server and client share of gRPC core. Surprise: Debian's abseil is built with its deadlock
 * detector on, a global lock taken by every mutex; it is switched off by its mangled C++ name,
 * found at run time so that another abseil merely lacks it. */
#include "rpc/core.h"

#include <dlfcn.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define DETECTOR_OFF "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE"

#define FAR_S INT64_C(1000000000) /* deadlines of a stranger lie within 31 years of now */

static void log_core(gpr_log_func_args *args)
{
    if (args->severity == GPR_LOG_SEVERITY_ERROR) {
        hf_warn(NULL, HF_EVENT("grpc.core"), HF_TEXT("text", args->message),
                HF_TEXT("file", args->file), HF_INT("line", args->line));
    }
}

static void switch_detector_off(void)
{
    void (*set_mode)(int mode) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, DETECTOR_OFF);
    memcpy(&set_mode, &symbol, sizeof(symbol));
    if (set_mode != NULL) {
        set_mode(0);
    }
}

void rpc_core_init(void)
{
    switch_detector_off();
    gpr_set_log_function(log_core);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    grpc_init();
}

void rpc_core_done(void)
{
    grpc_shutdown();
}

gpr_timespec rpc_core_time(int64_t mono_us)
{
    if (mono_us == 0) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    int64_t left_us;
    if (__builtin_sub_overflow(mono_us, hf_mono_us(), &left_us)) { /* of a negative one only */
        left_us = -FAR_S * HF_US_PER_S;
    }
    gpr_timespec left = gpr_time_from_micros(left_us, GPR_TIMESPAN);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), left);
}

int64_t rpc_core_mono_us(gpr_timespec time)
{
    if (gpr_time_cmp(time, gpr_inf_future(time.clock_type)) == 0) {
        return 0;
    }
    gpr_timespec left = gpr_time_sub(time, gpr_now(time.clock_type));
    int64_t left_s = left.tv_sec > FAR_S ? FAR_S : left.tv_sec;
    left_s = left_s < -FAR_S ? -FAR_S : left_s;
    int64_t mono_us = hf_mono_us() + left_s * HF_US_PER_S + left.tv_nsec / 1000;
    return mono_us == 0 ? 1 : mono_us; /* 0 means none */
}

grpc_byte_buffer *rpc_core_pack(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(len);
    HF_CHECK(protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice)) == len);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

struct hf_status rpc_core_bytes(struct hf_arena *arena, grpc_byte_buffer *buffer,
                                struct hf_bytes *ret_bytes)
{
    if (buffer == NULL) {
        return (struct hf_status){HF_INVALID_ARGUMENT, "the call carries no message", NULL};
    }
    if (buffer->type != GRPC_BB_RAW || buffer->data.raw.compression != GRPC_COMPRESS_NONE) {
        return (struct hf_status){HF_UNIMPLEMENTED, "compressed messages are not accepted", NULL};
    }
    const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    uint8_t *bytes = hf_try_alloc(arena, slices->length + 1);
    if (bytes == NULL) {
        return (struct hf_status){HF_RESOURCE_EXHAUSTED, "message needs too much memory", NULL};
    }
    size_t len = 0;
    for (size_t i = 0; i < slices->count; i++) {
        size_t part = GRPC_SLICE_LENGTH(slices->slices[i]);
        memcpy(bytes + len, GRPC_SLICE_START_PTR(slices->slices[i]), part);
        len += part;
    }
    *ret_bytes = (struct hf_bytes){bytes, len};
    return hf_success();
}

char *rpc_core_text(struct hf_arena *arena, grpc_slice slice)
{
    const void *text = GRPC_SLICE_START_PTR(slice);
    return hf_strndup(arena, text, GRPC_SLICE_LENGTH(slice));
}

bool rpc_core_slice_equals(grpc_slice slice, const char *text)
{
    return GRPC_SLICE_LENGTH(slice) == strlen(text) &&
           memcmp(GRPC_SLICE_START_PTR(slice), text, strlen(text)) == 0;
}

const grpc_slice *rpc_core_header(const grpc_metadata_array *metadata, const char *key)
{
    for (size_t i = 0; i < metadata->count; i++) {
        if (rpc_core_slice_equals(metadata->metadata[i].key, key)) {
            return &metadata->metadata[i].value;
        }
    }
    return NULL;
}
