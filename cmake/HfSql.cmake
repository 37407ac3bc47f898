# SQL stays in .sql files; the compiler sees generated constants.
#
# hf_sql_queries(TARGET FILE HEADER): the "-- name: x" blocks of FILE become sql_x, declared in
# HEADER ("store/queries_sql.h"), which is then included by that name.
# hf_sql_migrations(TARGET NAME DIR HEADER): DIR/NNNN_text.sql become NAME_migrations[].
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(hf_sql_generated target header)
  get_filename_component(folder ${header} DIRECTORY)
  get_filename_component(stem ${header} NAME_WE)
  set(base ${CMAKE_CURRENT_BINARY_DIR}/sql/${folder}/${stem})
  add_custom_command(
    OUTPUT ${base}.h ${base}.c
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/gen_sql.py ${ARGN} ${base}.h ${base}.c
    DEPENDS ${CMAKE_SOURCE_DIR}/tools/gen_sql.py ${HF_SQL_INPUTS}
    COMMENT "SQL for ${header}")
  # A migration is one long literal; -Wpedantic allows 4095 bytes.
  set_source_files_properties(${base}.c PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
  target_sources(${target} PRIVATE ${base}.c ${base}.h)
  target_include_directories(${target} PUBLIC ${CMAKE_CURRENT_BINARY_DIR}/sql)
endfunction()

function(hf_sql_queries target file header)
  set(HF_SQL_INPUTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  hf_sql_generated(${target} ${header} queries ${HF_SQL_INPUTS})
endfunction()

function(hf_sql_migrations target name dir header)
  file(GLOB HF_SQL_INPUTS CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.sql)
  hf_sql_generated(${target} ${header} migrations ${name} ${CMAKE_CURRENT_SOURCE_DIR}/${dir})
endfunction()

# hf_text(TARGET FILE HEADER): the whole file as text_<stem>[].
function(hf_text target file header)
  set(HF_SQL_INPUTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  hf_sql_generated(${target} ${header} text ${HF_SQL_INPUTS})
endfunction()
