# Foreign libraries, all from Debian 12. Each is linked by the one folder that hides it.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(PBC REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)
pkg_check_modules(GRPC REQUIRED grpc>=29) # version check only: its --libs lists ninety abseil parts
find_library(GRPC_LIB grpc REQUIRED)
find_library(GPR_LIB gpr REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd>=1.5)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq>=14)
find_library(HIREDIS_LIB hiredis REQUIRED)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
