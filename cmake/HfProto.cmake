# Protobuf: where Debian keeps the foreign protos, and how C is made of a proto.
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_GEN_C protoc-gen-c REQUIRED)
find_path(PROTO_WKT_DIR google/protobuf/descriptor.proto REQUIRED)
find_path(PROTO_PBC_DIR protobuf-c/protobuf-c.proto REQUIRED)
find_path(PROTO_GOOGLEAPIS_DIR google/api/annotations.proto REQUIRED
  PATHS /usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis)
find_path(PROTO_GRPC_DIR grpc/health/v1/health.proto REQUIRED PATHS /usr/share/grpc-proto)

set(HF_GEN_DIR ${CMAKE_BINARY_DIR}/gen)
set(HF_PROTOC ${PROTOC} -I ${CMAKE_SOURCE_DIR}/proto -I ${PROTO_GOOGLEAPIS_DIR}
    -I ${PROTO_GRPC_DIR} -I ${PROTO_WKT_DIR} -I ${PROTO_PBC_DIR})

# hf_proto_c(RET_SOURCES DEPENDS dependencies… PROTOS a/b.proto …): generated .c files below
# HF_GEN_DIR. A proto is compiled again when any of the dependencies changes, as protos import
# each other.
function(hf_proto_c ret_sources)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PROTOS" ${ARGN})
  set(plugin ${CMAKE_SOURCE_DIR}/tools/protoc-gen-cx)
  file(MAKE_DIRECTORY ${HF_GEN_DIR})
  set(sources)
  foreach(proto ${ARG_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" stem ${HF_GEN_DIR}/${proto})
    add_custom_command(OUTPUT ${stem}.pb-c.c ${stem}.pb-c.h
      COMMAND ${HF_PROTOC} --plugin=protoc-gen-cx=${plugin} --cx_out=${HF_GEN_DIR} ${proto}
      # The initialisers cast a const away, which clang reports where they are used.
      COMMAND sed -i "s/(char \\*)protobuf_c_empty/(char *)(uintptr_t)protobuf_c_empty/g"
              ${stem}.pb-c.h
      DEPENDS ${plugin} ${ARG_DEPENDS}
      COMMENT "protoc ${proto}" VERBATIM)
    list(APPEND sources ${stem}.pb-c.c)
  endforeach()
  set(${ret_sources} ${sources} PARENT_SCOPE)
endfunction()

# hf_proto_descriptors(FILE DEPENDS … PROTOS …): one FileDescriptorSet with imports and comments.
function(hf_proto_descriptors file)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PROTOS" ${ARGN})
  add_custom_command(OUTPUT ${file}
    COMMAND ${HF_PROTOC} --include_imports --include_source_info --descriptor_set_out=${file}
            ${ARG_PROTOS}
    DEPENDS ${ARG_DEPENDS}
    COMMENT "protoc descriptor set" VERBATIM)
endfunction()
