/* grpc.reflection.v1 and v1alpha from the embedded descriptor set. Surprise: v1alpha's messages
 * are served by the code for v1, as they differ in their package alone; registration checks that
 * they are laid out alike. */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"

#include "base/check.h"
#include "rpc/descriptors.h"
#include "rpc/server_core.h"

#define MAX_EXTENSIONS 64

#define REQUEST(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static void answer_error(struct hf_arena *arena,
                         Grpc__Reflection__V1__ServerReflectionResponse *response,
                         enum hf_code code, const char *message)
{
    Grpc__Reflection__V1__ErrorResponse *error =
        rpc_message_new(arena, &grpc__reflection__v1__error_response__descriptor);
    error->error_code = (int32_t)code;
    error->error_message = hf_strdup(arena, message);
    response->message_response_case = RESPONSE(ERROR_RESPONSE);
    response->error_response = error;
}

static void answer_file(struct hf_arena *arena,
                        Grpc__Reflection__V1__ServerReflectionResponse *response, bool is_found,
                        struct hf_bytes file)
{
    if (!is_found) {
        answer_error(arena, response, HF_NOT_FOUND, "no such file or symbol");
        return;
    }
    Grpc__Reflection__V1__FileDescriptorResponse *files =
        rpc_message_new(arena, &grpc__reflection__v1__file_descriptor_response__descriptor);
    files->n_file_descriptor_proto = 1;
    files->file_descriptor_proto = HF_NEW(arena, ProtobufCBinaryData);
    files->file_descriptor_proto->data = hf_dup(arena, file.ptr, file.len);
    files->file_descriptor_proto->len = file.len;
    response->message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    response->file_descriptor_response = files;
}

static void answer_services(struct hf_arena *arena,
                            Grpc__Reflection__V1__ServerReflectionResponse *response,
                            const struct rpc_server *server)
{
    Grpc__Reflection__V1__ListServiceResponse *list =
        rpc_message_new(arena, &grpc__reflection__v1__list_service_response__descriptor);
    list->n_service = server->services.len;
    list->service = HF_NEW_N(arena, Grpc__Reflection__V1__ServiceResponse *, list->n_service);
    for (size_t i = 0; i < list->n_service; i++) {
        list->service[i] =
            rpc_message_new(arena, &grpc__reflection__v1__service_response__descriptor);
        list->service[i]->name = hf_strdup(arena, server->services.items[i]);
    }
    response->message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    response->list_services_response = list;
}

static void answer_extensions(struct hf_arena *arena,
                              Grpc__Reflection__V1__ServerReflectionResponse *response,
                              const char *type)
{
    struct hf_bytes file;
    Grpc__Reflection__V1__ExtensionNumberResponse *numbers =
        rpc_message_new(arena, &grpc__reflection__v1__extension_number_response__descriptor);
    if (!rpc_descriptor_symbol(type, &file)) {
        answer_error(arena, response, HF_NOT_FOUND, "no such type");
        return;
    }
    numbers->base_type_name = hf_strdup(arena, type);
    numbers->extension_number = HF_NEW_N(arena, int32_t, MAX_EXTENSIONS);
    size_t found = rpc_descriptor_extensions(type, numbers->extension_number, MAX_EXTENSIONS);
    numbers->n_extension_number = found < MAX_EXTENSIONS ? found : MAX_EXTENSIONS;
    response->message_response_case = RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE);
    response->all_extension_numbers_response = numbers;
}

static void answer_extension(struct hf_arena *arena,
                             Grpc__Reflection__V1__ServerReflectionResponse *response,
                             const Grpc__Reflection__V1__ExtensionRequest *wanted)
{
    struct hf_bytes file = {NULL, 0};
    bool is_found =
        rpc_descriptor_extension(wanted->containing_type, wanted->extension_number, &file);
    answer_file(arena, response, is_found, file);
}

static struct hf_status reflect(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                const void *req, void *resp)
{
    const Grpc__Reflection__V1__ServerReflectionRequest *request = req;
    Grpc__Reflection__V1__ServerReflectionResponse *response = resp;
    struct hf_bytes file = {NULL, 0};
    bool is_found = false;
    (void)peer;
    response->valid_host = request->host;
    void *echo = NULL;
    HF_TRY(rpc_message_copy(ctx->arena, &request->base, &echo));
    response->original_request = echo;
    switch ((int)request->message_request_case) {
    case REQUEST(FILE_BY_FILENAME):
        is_found = rpc_descriptor_file(request->file_by_filename, &file);
        answer_file(ctx->arena, response, is_found, file);
        break;
    case REQUEST(FILE_CONTAINING_SYMBOL):
        is_found = rpc_descriptor_symbol(request->file_containing_symbol, &file);
        answer_file(ctx->arena, response, is_found, file);
        break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
        answer_extension(ctx->arena, response, request->file_containing_extension);
        break;
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_extensions(ctx->arena, response, request->all_extension_numbers_of_type);
        break;
    case REQUEST(LIST_SERVICES):
        answer_services(ctx->arena, response, app);
        break;
    default:
        answer_error(ctx->arena, response, HF_INVALID_ARGUMENT, "the request asks for nothing");
        break;
    }
    return hf_success();
}

static const struct rpc_method methods[] = {
    {.name = "ServerReflectionInfo", .kind = RPC_EXCHANGE, .is_idempotent = true, .unary = reflect},
};

static void check_alike(const ProtobufCMessageDescriptor *a, const ProtobufCMessageDescriptor *b)
{
    HF_CHECK(a->sizeof_message == b->sizeof_message && a->n_fields == b->n_fields);
    for (unsigned i = 0; i < a->n_fields; i++) {
        HF_CHECK(a->fields[i].id == b->fields[i].id && a->fields[i].type == b->fields[i].type &&
                 a->fields[i].offset == b->fields[i].offset &&
                 a->fields[i].quantifier_offset == b->fields[i].quantifier_offset);
    }
}

struct hf_status rpc_reflection_register(struct hf_arena *arena, struct rpc_server *server)
{
    check_alike(&grpc__reflection__v1__server_reflection_request__descriptor,
                &grpc__reflection__v1alpha__server_reflection_request__descriptor);
    check_alike(&grpc__reflection__v1__server_reflection_response__descriptor,
                &grpc__reflection__v1alpha__server_reflection_response__descriptor);
    check_alike(&grpc__reflection__v1__extension_request__descriptor,
                &grpc__reflection__v1alpha__extension_request__descriptor);
    HF_TRY(rpc_server_add_own(arena, server, &grpc__reflection__v1__server_reflection__descriptor,
                              methods, HF_LEN(methods), server));
    return rpc_server_add_own(arena, server,
                              &grpc__reflection__v1alpha__server_reflection__descriptor, methods,
                              HF_LEN(methods), server);
}
