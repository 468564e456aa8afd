#include "recognition.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "extractor_run.h"
#include "recognised_words.h"
#include "retrieval/page_painter.h"
#include "retrieval/wire.h"

namespace carrel::retrieval {
namespace {

constexpr char kTesseract[] = "/usr/bin/tesseract";
constexpr size_t kLanguagesMin = 3;

absl::StatusOr<UniqueFd> FileOf(const std::string& bytes) {
  UniqueFd file(::memfd_create("picture", MFD_CLOEXEC));
  if (!file) return absl::InternalError(absl::StrCat("memfd_create: ", std::strerror(errno)));
  for (size_t written = 0; written < bytes.size();) {
    const ssize_t count = ::write(file.get(), bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return absl::InternalError(absl::StrCat("write: ", std::strerror(errno)));
    written += static_cast<size_t>(count);
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return absl::InternalError("lseek");
  return file;
}

std::string WireOrder(const RecognitionOptions& options, uint32_t dpi) {
  wire::Request head;
  head.task = wire::Task::kRecognise;
  head.cpu_seconds_max = options.cpu_seconds_max;
  wire::RecogniseOrder order{.dpi = dpi};
  std::memcpy(order.languages, options.languages.data(),
              std::min(options.languages.size(), sizeof order.languages - 1));
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes.append(reinterpret_cast<const char*>(&order), sizeof order);
  return bytes;
}

std::string EndClause(const ExtractorEnd& end, const RecognitionOptions& options) {
  if (end.time_limit) return absl::StrCat("it takes longer than ", absl::FormatDuration(options.wall_max));
  if (!end.wire.ok()) return std::string(end.wire.message());
  if (!end.exit) return "it did not end";
  if (end.exit->memory_limit)
    return absl::StrCat("it takes more than ", options.memory_bytes_max >> 20, " MiB of memory");
  if (end.exit->signal == SIGXCPU) {
    return absl::StrCat("it takes more than ", options.cpu_seconds_max, " s of processor time");
  }
  if (end.exit->signal != 0) return absl::StrCat("tesseract died of signal ", end.exit->signal);
  return absl::StrCat("tesseract ended with code ", end.exit->exit_code,
                      " (are all of its languages installed: ", options.languages, "?)");
}

// One page. FAILED_PRECONDITION and DATA_LOSS are the page's fate, other errors the job's.
absl::Status RecognisePage(const RecognitionJob& job, RawPage& page) {
  const RecognitionOptions& options = job.options;
  UniqueFd bytes(::fcntl(job.bytes.get(), F_DUPFD_CLOEXEC, 0));
  if (!bytes) return absl::InternalError(absl::StrCat("dup: ", std::strerror(errno)));
  const auto painter = MakeJailedPainter(job.jails, job.policy);
  PictureRequest request{.bytes = std::move(bytes),
                         .page = page.number,
                         .page_width = page.width,
                         .page_height = page.height,
                         .dpi_default = options.dpi,
                         .cancelled = job.cancelled};
  absl::StatusOr<Picture> picture = painter->Paint(std::move(request));
  if (!picture.ok()) return picture.status();
  absl::StatusOr<UniqueFd> file = FileOf(picture->png);
  if (!file.ok()) return file.status();

  std::string tsv;
  const auto take = [&](std::string_view piece, bool&) {
    if (tsv.size() + piece.size() > options.output_bytes_max) return absl::DataLossError("it wrote too much");
    tsv += piece;
    return absl::OkStatus();
  };
  const absl::StatusOr<ExtractorEnd> end = RunExtractor(job.jails,
                                                        {.policy = job.policy,
                                                         .bytes = *std::move(file),
                                                         .request = WireOrder(options, picture->dpi),
                                                         .memory_bytes = options.memory_bytes_max,
                                                         .cpu_seconds = options.cpu_seconds_max + 10,
                                                         .wall_max = options.wall_max,
                                                         .cancelled = job.cancelled},
                                                        take);
  if (!end.ok()) return end.status();
  const bool fine = end->wire.ok() && !end->time_limit && end->exit && end->exit->signal == 0 &&
                    end->exit->exit_code == 0 && !end->exit->memory_limit;
  if (!fine) return absl::FailedPreconditionError(EndClause(*end, options));
  return PutRecognisedWords(tsv, {.width = picture->width, .height = picture->height}, job.words_per_page_max, page);
}

bool IsPagesFate(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsDataLoss(status) || absl::IsInvalidArgument(status);
}

}  // namespace

bool RecognitionIsInstalled() { return ::access(kTesseract, X_OK) == 0; }

absl::Status CheckLanguages(const std::string& languages) {
  const bool good = languages.size() >= kLanguagesMin && languages.size() < sizeof(wire::RecogniseOrder{}.languages) &&
                    std::all_of(languages.begin(), languages.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '+';
                    });
  if (good && languages.front() != '+' && languages.back() != '+') return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the languages of character recognition are \"", languages,
                                                 "\": expected tesseract's names, as eng+deu"));
}

absl::Status RecognisePages(const RecognitionJob& job, RawDocument& raw) {
  uint32_t tried = 0;
  raw.recognition_tried = true;
  for (RawPage& page : raw.pages) {
    if (!page.words.empty() || page.width <= 0 || page.height <= 0) continue;
    if (tried++ >= job.options.pages_max) {
      ++raw.not_recognised;
      continue;
    }
    const absl::Status status = RecognisePage(job, page);
    if (!status.ok() && !IsPagesFate(status)) return status;
    if (!status.ok() && raw.recognition_failure.empty()) {
      raw.recognition_failure = absl::StrCat("page ", page.number, ": ", std::string(status.message()));
    }
    page.recognised = !page.words.empty();
  }
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
