#include "recognise.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace carrel::retrieval::extract {
namespace {

constexpr char kTesseract[] = "/usr/bin/tesseract";

// tesseract has no limits of its own. SIGXCPU ends it, which the parent sees.
int LimitCpu(uint64_t seconds) {
  if (seconds == 0) return 0;
  const struct rlimit limit { .rlim_cur = seconds, .rlim_max = seconds + 5 };
  return ::setrlimit(RLIMIT_CPU, &limit);
}

}  // namespace

int BecomeTesseract(const wire::Request& request, const wire::RecogniseOrder& order) {
  if (std::memchr(order.languages, 0, sizeof order.languages) == nullptr) return EINVAL;
  if (LimitCpu(request.cpu_seconds_max) != 0) return errno;
  std::string dpi = std::to_string(order.dpi);
  std::string languages = order.languages;
  // Page segmentation 3: columns, blocks and lines are found, the page is taken to be upright.
  std::string words[] = {"tesseract", "stdin", "stdout", "-l", languages, "--psm", "3", "--dpi", dpi, "tsv"};
  char* arguments[std::size(words) + 1] = {};
  for (size_t i = 0; i < std::size(words); ++i) arguments[i] = words[i].data();
  // One thread: the jail allows no more, and OpenMP would not cope with that.
  char thread_limit[] = "OMP_THREAD_LIMIT=1";
  char language[] = "LANG=C.UTF-8";
  char* environment[] = {thread_limit, language, nullptr};
  ::execve(kTesseract, arguments, environment);
  return errno;
}

}  // namespace carrel::retrieval::extract
