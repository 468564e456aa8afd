#include "carrel_process.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "sandbox/base/unique_fd.h"

namespace carrel::cli {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

CarrelProcess::CarrelProcess() : temp_(*TempDir::Create()), data_(temp_.path() + "/data") {
  std::filesystem::create_directories(data_ + "/run");
}

ChildProcess CarrelProcess::Spawn(std::vector<std::string> arguments, const std::string& input) {
  arguments.insert(arguments.begin(), std::string(CARREL_BIN) + "/carrel");
  const auto open = [&](const std::string& name, int flags) {
    return UniqueFd(::open((temp_.path() + "/" + name).c_str(), flags | O_CLOEXEC, 0600));
  };
  std::ofstream(temp_.path() + "/in") << input;
  const UniqueFd in = open("in", O_RDONLY);
  const UniqueFd out = open("out", O_WRONLY | O_CREAT | O_TRUNC);
  const UniqueFd err = open("err", O_WRONLY | O_CREAT | O_TRUNC);
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "CARREL_DATA=" + data_};
  environment.insert(environment.end(), environment_.begin(), environment_.end());
  auto process = ChildProcess::Spawn({.argv = std::move(arguments),
                                      .env = std::move(environment),
                                      .fds = {{in.get(), 0}, {out.get(), 1}, {err.get(), 2}}});
  EXPECT_TRUE(process.ok()) << process.status();
  return *std::move(process);
}

Result CarrelProcess::Await(ChildProcess& process) {
  const auto end = process.Wait(absl::Seconds(30));
  EXPECT_TRUE(end.has_value()) << "carrel hangs";
  return {.exit_code = end.has_value() && end->signal == 0 ? end->exit_code : -1,
          .out = ReadFile(temp_.path() + "/out"),
          .err = ReadFile(temp_.path() + "/err")};
}

Result CarrelProcess::Carrel(std::vector<std::string> arguments, const std::string& input) {
  ChildProcess process = Spawn(std::move(arguments), input);
  return Await(process);
}

std::string CarrelProcess::WriteFile(const std::string& name, const std::string& text) {
  const std::string path = temp_.path() + "/" + name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
  return path;
}

}  // namespace carrel::cli
