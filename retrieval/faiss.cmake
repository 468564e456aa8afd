# carrel_faiss: FAISS with vector instructions as setup builds it from Debian's source, where it is below
# CARREL_DEPS; else Debian's packaged library, which is made for SSE only and is 5 to 19 times slower.
#
# Debian's faiss-config.cmake needs targets that it does not find itself, so the library alone is taken.
option(CARREL_PACKAGED_FAISS "Link Debian's FAISS even where there is one with vector instructions" OFF)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(LAPACK REQUIRED)
set(faiss_root ${CARREL_DEPS}/faiss)
if(EXISTS ${faiss_root}/lib/libfaiss_avx2.a AND NOT CARREL_PACKAGED_FAISS)
  add_library(carrel_faiss STATIC IMPORTED GLOBAL)
  set_target_properties(carrel_faiss PROPERTIES IMPORTED_LOCATION ${faiss_root}/lib/libfaiss_avx2.a)
  target_include_directories(carrel_faiss SYSTEM INTERFACE ${faiss_root}/include)
  # FAISS's own headers choose their code by these; only the file that includes them is built so.
  set(CARREL_FAISS_FLAGS -mavx2 -mfma -mf16c)
  set(CARREL_FAISS_KIND "AVX2")
else()
  find_library(FAISS_LIBRARY faiss REQUIRED)
  add_library(carrel_faiss UNKNOWN IMPORTED GLOBAL)
  set_target_properties(carrel_faiss PROPERTIES IMPORTED_LOCATION ${FAISS_LIBRARY})
  set(CARREL_FAISS_FLAGS "")
  set(CARREL_FAISS_KIND "SSE")
endif()
target_link_libraries(carrel_faiss INTERFACE LAPACK::LAPACK OpenMP::OpenMP_CXX)
set_source_files_properties(src/vector_index.cc PROPERTIES
  COMPILE_OPTIONS "${CARREL_FAISS_FLAGS}" COMPILE_DEFINITIONS CARREL_FAISS_KIND="${CARREL_FAISS_KIND}")
