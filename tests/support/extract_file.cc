#include "extract_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "process_jail_maker.h"

namespace carrel::testing {
namespace {

absl::StatusOr<retrieval::Extraction> Extract(UniqueFd bytes, const std::string& name,
                                              const retrieval::ExtractionLimits& limits,
                                              const retrieval::RecognitionOptions& recognition = {}) {
  const std::optional<retrieval::DocumentType> type = retrieval::DocumentTypeOf(name);
  if (!type) return absl::InvalidArgumentError(absl::StrCat("no type for ", name));
  const auto jails = MakeProcessJailMaker("extract", {CARREL_BIN "/carrel-extract"});
  const auto extractor = retrieval::MakeJailedExtractor(*jails, "extract", recognition);
  return extractor->Extract({.bytes = std::move(bytes), .type = *type, .limits = limits});
}

}  // namespace

absl::StatusOr<retrieval::Extraction> ExtractFile(const std::string& path, const retrieval::ExtractionLimits& limits,
                                                  std::string name) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return absl::NotFoundError(path);
  return Extract(std::move(file), name.empty() ? path : name, limits);
}

absl::StatusOr<retrieval::Extraction> ExtractBytes(const std::string& bytes, const std::string& name,
                                                   const retrieval::ExtractionLimits& limits,
                                                   const retrieval::RecognitionOptions& recognition) {
  UniqueFd file(::memfd_create("document", MFD_CLOEXEC));
  size_t written = 0;
  while (file && written < bytes.size()) {
    const ssize_t count = ::write(file.get(), bytes.data() + written, bytes.size() - written);
    if (count <= 0) return absl::InternalError("memfd");
    written += static_cast<size_t>(count);
  }
  if (!file || ::lseek(file.get(), 0, SEEK_SET) != 0) return absl::InternalError("memfd");
  return Extract(std::move(file), name, limits, recognition);
}

}  // namespace carrel::testing
