#include "shared_server.h"

#include <fstream>
#include <string>

#include "absl/time/clock.h"

namespace carrel::testing {

absl::StatusOr<JailedServer*> SharedServer::For(Tier tier) {
  if (server_ != nullptr && tier == tier_ && !spoilt_) return server_.get();
  TearDown();
  absl::StatusOr<std::unique_ptr<JailedServer>> server =
      JailedServer::Start({.tier = tier, .server_arguments = server_arguments_});
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  tier_ = tier;
  spoilt_ = false;
  return server_.get();
}

void SharedServer::TearDown() {
  const std::unique_ptr<JailedServer> server = std::move(server_);
  if (server == nullptr) return;
  EXPECT_EQ(server->Stop(), "") << "left behind";
}

namespace {

// Without the disk keeper and its children, of which each disk has one, until it is unmounted.
size_t ProcessesOf(const JailedServer& server) {
  size_t count = 0;
  for (const pid_t pid : server.Processes()) {
    std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(comm, name);
    if (name != "carrel-disk") ++count;
  }
  return count;
}

}  // namespace

size_t WaitForProcesses(const JailedServer& server, Tier tier, size_t most) {
  // Spares are made a moment after they are used.
  const absl::Duration stays = tier == Tier::kConfined ? absl::ZeroDuration() : absl::Milliseconds(60);
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  absl::Time since = absl::Now();
  size_t now = ProcessesOf(server);
  while ((now > most || absl::Now() - since < stays) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(10));
    now = ProcessesOf(server);
    if (now > most) since = absl::Now();
  }
  return now;
}

}  // namespace carrel::testing
