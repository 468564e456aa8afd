#include "plain_container_host.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <sstream>

#include "absl/time/clock.h"

namespace carrel::gateway {
namespace {

class TextReader final : public BlobReader {
 public:
  explicit TextReader(std::string text) : text_(std::move(text)) {}
  uint64_t size_bytes() const override { return text_.size(); }
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    const size_t count = std::min(buffer.size(), text_.size() - at_);
    std::copy_n(text_.data() + at_, count, buffer.data());
    at_ += count;
    return count;
  }

 private:
  const std::string text_;
  size_t at_ = 0;
};

absl::StatusOr<std::string> ReadAll(BlobReader& source) {
  std::string bytes;
  std::string piece(1000, '\0');
  while (true) {
    auto got = source.Read(piece);
    if (!got.ok()) return got.status();
    if (*got == 0) return bytes;
    bytes.append(piece, 0, *got);
  }
}

ContainerFile FileOf(const std::string& path, const std::string& bytes) {
  return {.path = path, .size_bytes = bytes.size(), .modified_at = absl::FromUnixSeconds(7)};
}

}  // namespace

// The events are made when the call is, but for those of "hang".
class PlainContainerHost::Run final : public CodeRun {
 public:
  Run(PlainContainerHost& host, ProjectId project, ContainerId container, std::deque<CodeEvent> events, bool hangs)
      : host_(host),
        project_(std::move(project)),
        container_(std::move(container)),
        events_(std::move(events)),
        hangs_(hangs) {}
  ~Run() override {
    const std::lock_guard lock(host_.mutex_);
    if (hangs_) ++host_.abandoned_;
  }

  absl::StatusOr<std::optional<CodeEvent>> Next(absl::Duration wait) override {
    if (events_.empty() || (hangs_ && events_.size() == 1)) {
      absl::SleepFor(std::min(wait, absl::Milliseconds(5)));
      const std::lock_guard lock(host_.mutex_);
      const auto held = host_.containers_.find({project_, container_});
      if (held == host_.containers_.end() || !held->second.interrupted) return std::optional<CodeEvent>();
      hangs_ = false;
      events_.back() = Outcome{.kind = Outcome::Kind::kRaised,
                               .message = "KeyboardInterrupt",
                               .exception = CodeException{.name = "KeyboardInterrupt"}};
    }
    CodeEvent event = std::move(events_.front());
    events_.pop_front();
    return std::optional<CodeEvent>(std::move(event));
  }

 private:
  PlainContainerHost& host_;
  const ProjectId project_;
  const ContainerId container_;
  std::deque<CodeEvent> events_;
  bool hangs_;
};

absl::StatusOr<PlainContainerHost::Held*> PlainContainerHost::Find(const ProjectId& project, const ContainerId& id) {
  const auto found = containers_.find({project, id});
  if (found == containers_.end()) return absl::NotFoundError("no session \"" + id.value + "\"");
  return &found->second;
}

absl::StatusOr<LiveContainer> PlainContainerHost::Create(const ProjectId& project, const ContainerSpec& spec) {
  const std::lock_guard lock(mutex_);
  const auto [found, made] = containers_.try_emplace({project, spec.id});
  if (made) {
    ++made_;
    found->second.live = {
        .id = spec.id,
        .runtime = spec.runtime.empty() ? "python" : spec.runtime,
        .limits = spec.limits,
        .idle_timeout = spec.idle_timeout == absl::ZeroDuration() ? absl::Minutes(20) : spec.idle_timeout,
        .created_at = absl::FromUnixSeconds(made_),
        .last_used_at = absl::Now(),
        .isolation = "none"};
  }
  return found->second.live;
}

absl::StatusOr<LiveContainer> PlainContainerHost::Get(const ProjectId& project, const ContainerId& id) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  return (*held)->live;
}

absl::StatusOr<std::vector<LiveContainer>> PlainContainerHost::List(const ProjectId& project) {
  const std::lock_guard lock(mutex_);
  std::vector<LiveContainer> all;
  for (const auto& [key, held] : containers_) {
    if (key.first == project) all.push_back(held.live);
  }
  return all;
}

absl::StatusOr<bool> PlainContainerHost::Delete(const ProjectId& project, const ContainerId& id) {
  const std::lock_guard lock(mutex_);
  return containers_.erase({project, id}) > 0;
}

absl::StatusOr<std::unique_ptr<CodeRun>> PlainContainerHost::Execute(const ProjectId& project,
                                                                     const CodeCallRequest& request) {
  const std::lock_guard lock(mutex_);
  ContainerId id = request.container;
  if (id.empty()) {
    char name[33];
    std::snprintf(name, sizeof(name), "%032x", ++made_);
    id = ContainerId(name);
    containers_[{project, id}].live = {.id = id, .runtime = "python", .isolation = "none"};
  }
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  if ((*held)->live.state == LiveContainer::State::kDead) return absl::FailedPreconditionError("the session is dead");
  ++(*held)->live.calls;
  (*held)->interrupted = false;
  std::deque<CodeEvent> events{CodeStarted{.container = id}};
  std::deque<CodeEvent> written;
  Outcome outcome{.usage = {.wall_ms = 3}, .isolation = "none"};
  bool hangs = false;
  std::istringstream lines(request.code);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    const std::string word = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (word == "out") events.push_back(CodeStdout{.text = rest + "\n"});
    if (word == "err") events.push_back(CodeStderr{.text = rest + "\n"});
    if (word == "read") events.push_back(CodeStdout{.text = (*held)->files[rest]});
    if (word == "show") {
      events.push_back(CodeDisplay{.data = {{"image/png", "png"}, {"text/plain", "<Figure>"}}, .is_result = true});
    }
    if (word == "write") {
      (*held)->files[rest] = "1,2";
      written.push_back(CodeWroteFile{.path = rest, .size_bytes = 3, .media_type = "text/csv", .sha256 = "5"});
    }
    if (word == "raise") {
      outcome.kind = Outcome::Kind::kRaised;
      outcome.message = "ValueError: no";
      outcome.exception = CodeException{.name = "ValueError", .value = "no", .traceback = "Traceback: ValueError: no"};
    }
    if (word == "die") {
      outcome.kind = Outcome::Kind::kMemoryLimit;
      outcome.limit = LimitKind::kMemory;
      outcome.limit_value = 1 << 30;
      outcome.message = "over the memory limit";
      outcome.state_kept = false;
      (*held)->live.state = LiveContainer::State::kDead;
      (*held)->live.death_reason = "over the memory limit";
    }
    hangs |= word == "hang";
  }
  events.insert(events.end(), written.begin(), written.end());
  events.push_back(outcome);
  return std::make_unique<Run>(*this, project, id, std::move(events), hangs);
}

absl::StatusOr<bool> PlainContainerHost::Interrupt(const ProjectId& project, const ContainerId& id) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  (*held)->interrupted = true;
  return true;
}

absl::StatusOr<ContainerFile> PlainContainerHost::Upload(const ProjectId& project, const ContainerId& id,
                                                         const std::string& path, bool replace, BlobReader& source) {
  const auto bytes = ReadAll(source);
  if (!bytes.ok()) return bytes.status();
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  if (path.empty() || path.front() == '/' || path.find("..") != std::string::npos) {
    return absl::InvalidArgumentError("path is " + path + ": expected one below /mnt/data");
  }
  if (!replace && (*held)->files.contains(path)) return absl::AlreadyExistsError(path + " is there already");
  (*held)->files[path] = *bytes;
  return FileOf(path, *bytes);
}

absl::StatusOr<WorkspaceSummary> PlainContainerHost::Export(const ProjectId& project, const ContainerId& id,
                                                            const ArchiveSink& sink) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  WorkspaceSummary summary{.skipped = {{"link", "symlink"}}};
  for (const auto& [path, bytes] : (*held)->files) {
    if (absl::Status taken = sink(path + "=" + bytes + "\n"); !taken.ok()) return taken;
    ++summary.files;
    summary.bytes += bytes.size();
  }
  return summary;
}

absl::StatusOr<WorkspaceSummary> PlainContainerHost::Import(const ProjectId& project, const ContainerId& id,
                                                            bool replace, BlobReader& source) {
  const auto archive = ReadAll(source);
  if (!archive.ok()) return archive.status();
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  WorkspaceSummary summary;
  std::istringstream lines(*archive);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) return absl::InvalidArgumentError("not an archive");
    const std::string path = line.substr(0, equals);
    if (!replace && (*held)->files.contains(path)) return absl::AlreadyExistsError(path + " is there already");
    (*held)->files[path] = line.substr(equals + 1);
    ++summary.files;
    summary.bytes += line.size() - equals - 1;
  }
  return summary;
}

absl::StatusOr<ContainerFiles> PlainContainerHost::ListFiles(const ProjectId& project, const ContainerId& id) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  ContainerFiles files;
  for (const auto& [path, bytes] : (*held)->files) files.files.push_back(FileOf(path, bytes));
  return files;
}

absl::StatusOr<ContainerHost::OpenFile> PlainContainerHost::Download(const ProjectId& project, const ContainerId& id,
                                                                     const std::string& path) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  const auto file = (*held)->files.find(path);
  if (file == (*held)->files.end()) return absl::NotFoundError("no file " + path);
  return OpenFile{.file = FileOf(path, file->second), .reader = std::make_unique<TextReader>(file->second)};
}

absl::StatusOr<bool> PlainContainerHost::DeleteFile(const ProjectId& project, const ContainerId& id,
                                                    const std::string& path) {
  const std::lock_guard lock(mutex_);
  auto held = Find(project, id);
  if (!held.ok()) return held.status();
  return (*held)->files.erase(path) > 0;
}

void PlainContainerHost::ExpireAll() {
  const std::lock_guard lock(mutex_);
  containers_.clear();
}

int PlainContainerHost::abandoned() {
  const std::lock_guard lock(mutex_);
  return abandoned_;
}

}  // namespace carrel::gateway
