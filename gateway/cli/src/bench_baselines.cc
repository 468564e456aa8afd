#include "bench_baselines.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "cli/place.h"
#include "sandbox/base/message_socket.h"
#include "strings.h"

namespace carrel::cli {

absl::StatusOr<std::unique_ptr<Baselines>> Baselines::Start(const std::string& jupyter) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) return jailer.status();
  const std::string share = (std::filesystem::path(*jailer).parent_path().parent_path() / "share" / "carrel").string();
  const std::string runtime = share + "/runtimes/python";
  SpawnOptions spawn;
  spawn.argv = {"/usr/bin/python3",         "-s",   "-B", share + "/bench/baselines.py", runtime + "/driver",
                runtime + "/site-packages", jupyter};
  spawn.env = {"PYTHONPATH=" + runtime + "/site-packages", "HOME=/tmp"};
  // The zygote's environment.
  std::ifstream manifest(runtime + "/manifest");
  for (std::string line; std::getline(manifest, line);) {
    if (line.rfind("env ", 0) == 0 && line.rfind("env PYTHONPATH", 0) != 0 && line.rfind("env HOME", 0) != 0) {
      spawn.env->push_back(line.substr(4));
    }
  }
  auto in = MakePipe();
  if (!in.ok()) return in.status();
  auto out = MakePipe();
  if (!out.ok()) return out.status();
  spawn.fds = {{in->read.get(), 0}, {out->write.get(), 1}};
  auto child = ChildProcess::Spawn(spawn);
  if (!child.ok()) return child.status();
  auto baselines = std::unique_ptr<Baselines>(
      new Baselines(*std::move(child), ::fdopen(in->write.release(), "w"), ::fdopen(out->read.release(), "r")));
  in->read.reset();
  out->write.reset();
  if (baselines->Line() != "ready") return absl::UnavailableError("the baselines did not start; see above");
  return baselines;
}

Baselines::~Baselines() {
  // Its input's end ends it, and what it started.
  std::fclose(in_);
  (void)child_.Wait(absl::Seconds(10));
  std::fclose(out_);
}

std::string Baselines::Line() {
  std::array<char, 512> line{};
  const char* got = std::fgets(line.data(), line.size(), out_);
  return got != nullptr ? std::string(absl::StripSuffix(got, "\n")) : "none it has ended";
}

std::optional<double> Baselines::Ask(const std::string& order) {
  std::fprintf(in_, "%s\n", order.c_str());
  std::fflush(in_);
  const std::string line = Line();
  double number = 0;
  if (absl::SimpleAtod(absl::StripPrefix(line, "rate "), &number)) return number;
  why_ = std::string(absl::StripPrefix(line, "none "));
  return std::nullopt;
}

}  // namespace carrel::cli
