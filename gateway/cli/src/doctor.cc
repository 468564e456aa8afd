// carrel doctor and carrel version.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/place.h"
#include "nlohmann/json.hpp"
#include "rpc/log.h"
#include "sandbox/base/child_process.h"
#include "strings.h"

namespace carrel::cli {

namespace {

constexpr size_t kOutputBytesMax = 1 << 20;

struct Output {
  std::string text;
  ExitStatus status;
};

// Runs a program of ours and takes what it prints.
absl::StatusOr<Output> OutputOf(std::vector<std::string> argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  absl::StatusOr<ChildProcess> child = ChildProcess::Spawn({.argv = std::move(argv), .fds = {{write_end.get(), 1}}});
  if (!child.ok()) return child.status();
  write_end.reset();
  Output out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(read_end.get(), buffer, sizeof(buffer))) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read");
    if (out.text.size() + static_cast<size_t>(n) > kOutputBytesMax) return absl::InternalError("it prints without end");
    out.text.append(buffer, static_cast<size_t>(n));
  }
  out.status = child->Wait(absl::Seconds(10)).value_or(ExitStatus{.exit_code = 6});
  return out;
}

// How vectors are compared, and whether scans can be read: what carrel-retrieval says of itself.
absl::StatusOr<nlohmann::json> Vectors() {
  const auto retrieval = ProgramBeside("carrel-retrieval");
  if (!retrieval.ok()) return retrieval.status();
  absl::StatusOr<Output> said = OutputOf({*retrieval, "--doctor"});
  if (!said.ok()) return said.status();
  nlohmann::json parsed = nlohmann::json::parse(said->text, nullptr, false);
  if (!parsed.is_object()) return absl::InternalError(StrCat(*retrieval, " --doctor ", Describe(said->status)));
  return parsed;
}

}  // namespace

ExitCode Doctor(const CommonOptions& common, Console& console) {
  const auto place = FindPlace(common);
  if (!place.ok()) {
    console.Fail(place.status());
    return ExitCodeOf(place.status());
  }
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) {
    console.Fail(jailer.status());
    return ExitCode::kInternal;
  }
  // What `carrel serve` would start with.
  std::vector<std::string> argv = {*jailer, "--doctor", "--tier", place->config.jail.tier};
  if (place->config.jail.allow_no_cgroup) argv.emplace_back("--allow-no-cgroup");
  if (const std::string& directory = place->config.interpreter.workspace_directory; !directory.empty()) {
    argv.insert(argv.end(), {"--workspaces", directory});
  }
  // Runtimes of the operator's own may do with less than ours.
  if (const std::string& runtimes = place->config.jail.runtimes_dir; !runtimes.empty()) {
    argv.insert(argv.end(), {"--runtimes", runtimes});
  }
  const absl::StatusOr<nlohmann::json> vectors = Vectors();
  if (!vectors.ok()) console.Fail(vectors.status());
  if (common.json) {
    argv.emplace_back("--json");
    absl::StatusOr<Output> said = OutputOf(std::move(argv));
    if (!said.ok()) {
      console.Fail(said.status());
      return ExitCode::kInternal;
    }
    nlohmann::json report = nlohmann::json::parse(said->text, nullptr, false);
    if (!report.is_object()) {
      console.Fail(absl::InternalError(StrCat(*jailer, " --doctor --json ", Describe(said->status))));
      return ExitCode::kInternal;
    }
    if (vectors.ok()) {
      report["vectors"] = *vectors;
      report["recognition"] = vectors->value("recognition", nlohmann::json::object());
      report["vectors"].erase("recognition");
    }
    console.PrintJsonText(report.dump());
    return said->status.signal == 0 ? static_cast<ExitCode>(said->status.exit_code) : ExitCode::kInternal;
  }
  if (vectors.ok()) {
    console.Print(StrCat("vectors: ", vectors->value("instructions", ""), ": ", vectors->value("detail", "")));
    if (const std::string mend = vectors->value("mend", ""); !mend.empty()) console.Print(StrCat("  mend: ", mend));
    const nlohmann::json recognition = vectors->value("recognition", nlohmann::json::object());
    console.Print(StrCat("character recognition: ", recognition.value("detail", "")));
    if (const std::string mend = recognition.value("mend", ""); !mend.empty()) console.Print(StrCat("  mend: ", mend));
  }
  std::vector<char*> words;
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  ::execv(jailer->c_str(), words.data());
  console.Fail(absl::InternalError(StrCat("executing ", *jailer, ": ", std::strerror(errno))));
  return ExitCode::kInternal;
}

ExitCode Version(const CommonOptions& /*common*/, Console& console) {
  console.Print("carrel " CARREL_VERSION);
  console.PrintJsonText("{\"version\":" + rpc::JsonQuote(CARREL_VERSION) + "}");
  return ExitCode::kOk;
}

}  // namespace carrel::cli
