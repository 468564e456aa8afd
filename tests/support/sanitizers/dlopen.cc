// The sanitizers' run times abort the process at a dlopen with RTLD_DEEPBIND. OpenVINO's tbb asks for libtbbbind that
// way, which we do not even bring; without the flag the answer is the same: it is not there.
#include <dlfcn.h>

#include <cstdlib>

extern "C" __attribute__((visibility("default"))) void* dlopen(const char* file, int mode) noexcept {
  using Dlopen = void* (*)(const char*, int);
  static const auto next = reinterpret_cast<Dlopen>(::dlsym(RTLD_NEXT, "dlopen"));
  if (next == nullptr) std::abort();
  return next(file, mode & ~RTLD_DEEPBIND);
}
