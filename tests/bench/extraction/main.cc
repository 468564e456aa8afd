// bench_extraction FILE...: what it takes to read real documents, and whether what citations rest on holds in each.
//
// Prints a line a document: verdict, bytes, pages, milliseconds a page and megabytes of the file a second, passages,
// faults. The type is that of the name. Exit 1 when there is a fault.
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/time/clock.h"
#include "citation_properties.h"
#include "extract_file.h"

namespace {

using carrel::retrieval::ChunkingOptions;

// User time; the children are the extractors that have ended.
double CpuMs(__rusage_who who) {
  struct rusage usage {};
  ::getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) * 1e3 + static_cast<double>(usage.ru_utime.tv_usec) / 1e3;
}

// The number of faults.
size_t Measure(const std::string& path) {
  const absl::Time start = absl::Now();
  const double own_start = CpuMs(RUSAGE_SELF);
  const double extractor_start = CpuMs(RUSAGE_CHILDREN);
  const auto extraction = carrel::testing::ExtractFile(path);
  const double own_ms = CpuMs(RUSAGE_SELF) - own_start;
  const double extractor_ms = CpuMs(RUSAGE_CHILDREN) - extractor_start;
  const double wall_ms = absl::ToDoubleMilliseconds(absl::Now() - start);
  if (!extraction.ok()) {
    std::printf("%s: %s\n", path.c_str(), extraction.status().ToString().c_str());
    return 1;
  }
  if (extraction->document.pages.empty()) {
    std::printf("%s: verdict %d, %s\n", path.c_str(), static_cast<int>(extraction->verdict),
                extraction->message.c_str());
    return 0;
  }
  const ChunkingOptions options;
  const auto chunks = Chunk(extraction->document, options, carrel::testing::CountTokensRoughly);
  const auto faults = carrel::testing::FaultsOf(extraction->document, *chunks, options);
  const double pages = extraction->pages;
  const auto bytes = static_cast<double>(std::filesystem::file_size(path));
  std::printf(
      "%s: verdict %d, %.0f KB, %.0f pages, ms a page: %.2f wall, %.2f processor in the extractor, %.2f outside; "
      "%.1f MB/s; %zu headings, %zu sub-passages, %zu faults\n",
      path.c_str(), static_cast<int>(extraction->verdict), bytes / 1e3, pages, wall_ms / pages, extractor_ms / pages,
      own_ms / pages, bytes / 1e3 / wall_ms, extraction->document.headings.size(), chunks->sub_passages.size(),
      faults.size());
  for (const std::string& fault : faults) std::printf("  %s\n", fault.c_str());
  return faults.size();
}

}  // namespace

int main(int argc, char** argv) {
  size_t faults = 0;
  for (int i = 1; i < argc; ++i) faults += Measure(argv[i]);
  return faults == 0 ? 0 : 1;
}
