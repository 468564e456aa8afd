// The server that the cases of a suite share: starting one costs ten times as much as what a case does with it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "support/jailed_server.h"

namespace carrel::testing {

// Started when it is first needed, again for another tier and after a case that failed. When it is stopped nothing of
// it may be left behind.
class SharedServer final : public ::testing::Environment {
 public:
  // With these arguments after those of every JailedServer.
  explicit SharedServer(std::vector<std::string> server_arguments = {})
      : server_arguments_(std::move(server_arguments)) {}

  // The errors of JailedServer::Start.
  absl::StatusOr<JailedServer*> For(Tier tier);
  // The next case gets another.
  void Spoil() { spoilt_ = true; }
  void TearDown() override;

 private:
  const std::vector<std::string> server_arguments_;
  std::unique_ptr<JailedServer> server_;
  Tier tier_ = Tier::kFull;
  bool spoilt_ = false;
};

// What is there when no session is and there is no pool: the jailer's server, its nursery and one zygote, and two spare
// inits where sessions have namespaces (where there is one session at a time nothing is kept ready).
[[nodiscard]] constexpr size_t ProcessesAtRest(Tier tier) { return tier == Tier::kConfined ? 3 : 5; }

// The number of the jailer's processes once it has been at most `most` for a moment in which spares would have been
// made, or patience ends.
[[nodiscard]] size_t WaitForProcesses(const JailedServer& server, Tier tier, size_t most);

}  // namespace carrel::testing
