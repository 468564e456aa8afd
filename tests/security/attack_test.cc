// Every victim of attacks/ and twins/ in a session of the real thing: jailer, server, zygote, jail.
#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "session.h"
#include "support/jailed_server.h"
#include "victim.h"

namespace carrel::testing {
namespace {

using interpreter::v1::Outcome;

// In its own words: "RAISED BlockingIOError", "EXITED 3".
bool Matches(const Outcome& outcome, const std::string& verdict) {
  std::istringstream words(verdict);
  std::string kind;
  std::string detail;
  words >> kind >> detail;
  if (interpreter::v1::OutcomeKind_Name(outcome.kind()) != kind) return false;
  if (detail.empty()) return true;
  if (kind == "EXITED") return std::to_string(outcome.exit_code()) == detail;
  return outcome.exception().name() == detail;
}

void ExpectVerdict(const Victim& victim, const Outcome& outcome) {
  const std::string verdicts = victim.One("verdict").value_or("");
  if (verdicts == "any") return;
  bool matches = false;
  for (size_t at = 0; at <= verdicts.size();) {
    const size_t end = std::min(verdicts.find(" | ", at), verdicts.size());
    matches = matches || Matches(outcome, verdicts.substr(at, end - at));
    at = end + 3;
  }
  EXPECT_TRUE(matches) << "wanted " << verdicts;
}

void ExpectFiles(const Victim& victim, const Reply& reply) {
  const auto has = [&reply](const std::string& path) {
    return std::any_of(reply.artifacts.begin(), reply.artifacts.end(),
                       [&path](const auto& artifact) { return artifact.path() == path; });
  };
  for (const std::string& path : victim.All("artifact")) EXPECT_TRUE(has(path)) << path << " is no artifact";
  for (const std::string& path : victim.All("no-artifact")) EXPECT_FALSE(has(path)) << path << " is an artifact";
  for (const std::string& text : victim.All("no-content")) {
    for (const auto& artifact : reply.artifacts) {
      EXPECT_EQ(artifact.content().find(text), std::string::npos) << artifact.path() << " holds " << text;
    }
  }
  for (const std::string& reason : victim.All("skipped")) {
    const auto& skipped = reply.outcome.skipped();
    EXPECT_TRUE(
        std::any_of(skipped.begin(), skipped.end(), [&reason](const auto& file) { return file.reason() == reason; }))
        << "nothing was skipped as " << reason;
  }
}

void ExpectOutcome(const Victim& victim, const Reply& reply, Tier tier) {
  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
  ASSERT_TRUE(reply.finished);
  const Outcome& outcome = reply.outcome;
  ExpectVerdict(victim, outcome);
  if (const auto state = victim.One("state")) {
    EXPECT_EQ(outcome.state_kept(), *state == "kept");
  }
  if (const auto number = victim.One("signal")) {
    EXPECT_EQ(std::to_string(outcome.signal()), *number);
  }
  if (const auto number = victim.One("errno")) {
    EXPECT_NE(outcome.exception().value().find("[Errno " + *number + "]"), std::string::npos);
  }
  for (const std::string& text : victim.All("prints")) EXPECT_NE(reply.out.find(text), std::string::npos) << text;
  if (outcome.kind() == interpreter::v1::COMPLETED) {
    for (const std::string& text : victim.All("prints-if-completed")) {
      EXPECT_NE(reply.out.find(text), std::string::npos) << text;
    }
  }
  if (const auto most = victim.One("stdout-max")) {
    EXPECT_LE(reply.out.size(), std::stoull(*most));
  }
  // Processes and memory are counted by the control group.
  for (const std::string& name : victim.All("touched")) {
    if (tier == Tier::kUserns && (name == "LIMIT_PROCESSES" || name == "LIMIT_MEMORY")) continue;
    const auto& touched = outcome.limits_touched();
    const bool there = std::any_of(touched.begin(), touched.end(),
                                   [&name](int limit) {
                                     return LimitName_Name(static_cast<interpreter::v1::LimitName>(limit)) == name;
                                   }) ||
                       LimitName_Name(outcome.limit()) == name;
    EXPECT_TRUE(there) << name << " was not touched";
  }
  ExpectFiles(victim, reply);
}

class VictimTest : public ::testing::TestWithParam<std::tuple<Victim, Tier>> {
 protected:
  void Run() {
    const auto& [victim, tier] = GetParam();
    absl::StatusOr<std::unique_ptr<JailedServer>> server = JailedServer::Start({.tier = tier});
    if (server.status().code() == absl::StatusCode::kFailedPrecondition) GTEST_SKIP() << server.status();
    ASSERT_TRUE(server.ok()) << server.status();
    const Interpreter interpreter((*server)->channel());
    // The first session waits for the zygote; afterwards the number of processes is the resting one.
    ExpectCleanSession(interpreter);
    const size_t resting = WaitForProcesses(**server, 0);

    const std::string session = interpreter.Create(ParseLimits(victim.One("limits").value_or("")));
    const auto files = victim.One("return") == "bytes" ? interpreter::v1::RETURN_FILES_BYTES
                                                       : interpreter::v1::RETURN_FILES_REFERENCES;
    const Reply reply = interpreter.Run(session, victim.code, files);
    ExpectOutcome(victim, reply, tier);
    // While the attacker's session is still there, and after it.
    ExpectCleanSession(interpreter);
    interpreter.Delete(session);
    ExpectCleanSession(interpreter);
    EXPECT_LE(WaitForProcesses(**server, resting), resting) << "a process of the session is left";
    EXPECT_EQ((*server)->Stop(), "");
    if (HasFailure()) {
      std::cerr << "outcome: " << reply.outcome.ShortDebugString() << "\nstdout: " << reply.out.substr(0, 2000)
                << "\nstderr: " << reply.err.substr(0, 2000) << '\n';
    }
  }

 private:
  // The number of the jailer's processes once it is at most `most`, or has been the same for a while.
  static size_t WaitForProcesses(const JailedServer& server, size_t most) {
    size_t now = server.Processes().size();
    size_t before = now + 1;
    for (int i = 0; i < 50 && now > most && (now != before || i < 25); ++i) {
      absl::SleepFor(absl::Milliseconds(20));
      before = std::exchange(now, server.Processes().size());
    }
    return now;
  }
};

class Attack : public VictimTest {};
TEST_P(Attack, IsContained) { Run(); }

class Twin : public VictimTest {};
TEST_P(Twin, Works) { Run(); }

std::vector<std::tuple<Victim, Tier>> For(const std::string& folder, Tier tier) {
  std::vector<std::tuple<Victim, Tier>> cases;
  for (Victim& victim : LoadVictims(std::string(CARREL_SECURITY) + "/" + folder)) {
    if (tier == Tier::kUserns && victim.One("tiers") == "full") continue;
    cases.emplace_back(std::move(victim), tier);
  }
  return cases;
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Victim, Tier>>& info) {
  return std::get<0>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Full, Attack, ::testing::ValuesIn(For("attacks", Tier::kFull)), NameOf);
INSTANTIATE_TEST_SUITE_P(Full, Twin, ::testing::ValuesIn(For("twins", Tier::kFull)), NameOf);
INSTANTIATE_TEST_SUITE_P(Userns, Attack, ::testing::ValuesIn(For("attacks", Tier::kUserns)), NameOf);
INSTANTIATE_TEST_SUITE_P(Userns, Twin, ::testing::ValuesIn(For("twins", Tier::kUserns)), NameOf);

}  // namespace

// gtest prints parameters byte by byte otherwise.
void PrintTo(const Victim& victim, std::ostream* out) { *out << victim.name; }
void PrintTo(Tier tier, std::ostream* out) { *out << (tier == Tier::kFull ? "full" : "userns"); }

}  // namespace carrel::testing
