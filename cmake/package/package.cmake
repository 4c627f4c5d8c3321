# SPDX-License-Identifier: MIT

# Installation, `find_package(aster)` and pkg-config. Every item names its
# component: those that do not become a package of their own under CPack.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(aster_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aster)

install(
  TARGETS aster
  EXPORT aster_targets
  RUNTIME COMPONENT runtime
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE COMPONENT development
  FILE_SET HEADERS COMPONENT development)

install(
  EXPORT aster_targets
  NAMESPACE aster::
  FILE aster-targets.cmake
  DESTINATION ${aster_cmake_dir}
  COMPONENT development)

configure_package_config_file(
  ${CMAKE_CURRENT_LIST_DIR}/aster-config.cmake.in ${PROJECT_BINARY_DIR}/package/aster-config.cmake
  INSTALL_DESTINATION ${aster_cmake_dir}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/package/aster-config-version.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/package/aster-config.cmake
        ${PROJECT_BINARY_DIR}/package/aster-config-version.cmake
  DESTINATION ${aster_cmake_dir}
  COMPONENT development)

# Other libraries that aster needs, as pkg-config names. A program that links
# the static library needs them too; the shared one brings them along.
set(aster_pc_needs "openssl >= 3")
if(ASTER_HAS_CARES)
  string(APPEND aster_pc_needs ", libcares")
endif()
set(aster_pc_requires "")
set(aster_pc_requires_private "")
if(BUILD_SHARED_LIBS)
  set(aster_pc_requires_private "${aster_pc_needs}")
else()
  set(aster_pc_requires "${aster_pc_needs}")
endif()
# The prefix is given relative to the file, so that the tree can be moved.
file(RELATIVE_PATH aster_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" aster_pc_prefix "${aster_pc_prefix}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/aster.pc.in ${PROJECT_BINARY_DIR}/package/aster.pc @ONLY)
install(
  FILES ${PROJECT_BINARY_DIR}/package/aster.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)

install(
  FILES ${PROJECT_SOURCE_DIR}/LICENSE
  DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT development)
