# carrel_openvino: OpenVINO's runtime as its Python wheel carries it, unzipped below CARREL_DEPS.
#
# The wheel's own CMake config would do, but it looks for TBB's development files and leaves the path of the cache in
# our executables. Only the four shared objects that running a BERT from ONNX takes are copied to build/lib, and the
# executables look there ($ORIGIN/../lib). The soname changes with each release, so the version is pinned here.
set(CARREL_DEPS ${CMAKE_SOURCE_DIR}/build/deps CACHE PATH "What setup fetched and built: links into its cache")
set(CARREL_OPENVINO_SONAME 2641)
set(openvino_root ${CARREL_DEPS}/openvino/openvino)
if(NOT EXISTS ${openvino_root}/libs/libopenvino.so.${CARREL_OPENVINO_SONAME})
  message(FATAL_ERROR "OpenVINO 2026.4.1 is not in ${CARREL_DEPS}/openvino: run ./dev setup, or set CARREL_DEPS")
endif()
foreach(file libopenvino.so.${CARREL_OPENVINO_SONAME} libopenvino_onnx_frontend.so.${CARREL_OPENVINO_SONAME}
        libopenvino_intel_cpu_plugin.so libtbb.so.12)
  file(COPY ${openvino_root}/libs/${file} DESTINATION ${CMAKE_BINARY_DIR}/lib)
endforeach()

add_library(carrel_openvino SHARED IMPORTED GLOBAL)
set_target_properties(carrel_openvino PROPERTIES
  IMPORTED_LOCATION ${CMAKE_BINARY_DIR}/lib/libopenvino.so.${CARREL_OPENVINO_SONAME}
  INTERFACE_INCLUDE_DIRECTORIES ${openvino_root}/include)
