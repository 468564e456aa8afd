// Every victim of attacks/ and twins/ in a session of the real thing: jailer, server, zygote, jail.
#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "session.h"
#include "shared_server.h"
#include "support/jailed_server.h"
#include "support/missing_layer.h"
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

// "A | B".
std::set<std::string> Alternatives(const std::string& text) {
  std::set<std::string> found;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(" | ", at), text.size());
    found.insert(text.substr(at, end - at));
    at = end + 3;
  }
  return found;
}

void ExpectVerdict(const Victim& victim, const Outcome& outcome, Tier tier) {
  const std::string verdicts = victim.One("verdict", tier).value_or("");
  if (verdicts == "any") return;
  const std::set<std::string> wanted = Alternatives(verdicts);
  const bool matches = std::any_of(wanted.begin(), wanted.end(),
                                   [&outcome](const std::string& verdict) { return Matches(outcome, verdict); });
  EXPECT_TRUE(matches) << "wanted " << verdicts;
}

void ExpectFiles(const Victim& victim, const Reply& reply, Tier tier) {
  const auto has = [&reply](const std::string& path) {
    return std::any_of(reply.artifacts.begin(), reply.artifacts.end(),
                       [&path](const auto& artifact) { return artifact.path() == path; });
  };
  for (const std::string& path : victim.All("artifact", tier)) EXPECT_TRUE(has(path)) << path << " is no artifact";
  for (const std::string& path : victim.All("no-artifact", tier)) EXPECT_FALSE(has(path)) << path << " is an artifact";
  for (const std::string& text : victim.All("no-content", tier)) {
    for (const auto& artifact : reply.artifacts) {
      EXPECT_EQ(artifact.content().find(text), std::string::npos) << artifact.path() << " holds " << text;
    }
  }
  for (const std::string& reason : victim.All("skipped", tier)) {
    const auto& skipped = reply.outcome.skipped();
    EXPECT_TRUE(std::any_of(skipped.begin(), skipped.end(),
                            [&reason](const auto& file) { return Alternatives(reason).contains(file.reason()); }))
        << "nothing was skipped as " << reason;
  }
}

void ExpectOutcome(const Victim& victim, const Reply& reply, Tier tier) {
  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
  ASSERT_TRUE(reply.finished);
  const Outcome& outcome = reply.outcome;
  ExpectVerdict(victim, outcome, tier);
  if (const auto state = victim.One("state", tier)) {
    EXPECT_EQ(outcome.state_kept(), *state == "kept");
  }
  if (const auto number = victim.One("signal", tier)) {
    EXPECT_EQ(std::to_string(outcome.signal()), *number);
  }
  if (const auto number = victim.One("errno", tier)) {
    EXPECT_NE(outcome.exception().value().find("[Errno " + *number + "]"), std::string::npos);
  }
  for (const std::string& text : victim.All("prints", tier)) EXPECT_NE(reply.out.find(text), std::string::npos) << text;
  if (outcome.kind() == interpreter::v1::COMPLETED) {
    for (const std::string& text : victim.All("prints-if-completed", tier)) {
      EXPECT_NE(reply.out.find(text), std::string::npos) << text;
    }
  }
  if (const auto most = victim.One("stdout-max", tier)) {
    EXPECT_LE(reply.out.size(), std::stoull(*most));
  }
  // Processes are counted by the control group.
  for (const std::string& name : victim.All("touched", tier)) {
    if (tier != Tier::kFull && name == "LIMIT_PROCESSES") continue;
    const auto& touched = outcome.limits_touched();
    const bool there = std::any_of(touched.begin(), touched.end(),
                                   [&name](int limit) {
                                     return LimitName_Name(static_cast<interpreter::v1::LimitName>(limit)) == name;
                                   }) ||
                       LimitName_Name(outcome.limit()) == name;
    EXPECT_TRUE(there) << name << " was not touched";
  }
  ExpectFiles(victim, reply, tier);
}

// What was said to have been kept is there to be used, or has ended since (its children may still be over the memory
// limit) and says so: what it does not do is to hang.
void ExpectNextCall(const Interpreter& interpreter, const std::string& session, const Victim& victim, Tier tier) {
  const std::string code = victim.runtime == "bash" ? "echo $((6 * 7))" : "print(6 * 7)";
  const Reply reply = interpreter.Run(session, code, interpreter::v1::RETURN_FILES_NONE, ParseLimits("wall_ms=2000"));
  const bool ended = reply.status.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
  EXPECT_TRUE(reply.finished || ended) << reply.status.error_message();
  if (victim.One("then", tier) != "answers") return;
  EXPECT_EQ(reply.outcome.kind(), interpreter::v1::COMPLETED) << reply.outcome.ShortDebugString();
  EXPECT_NE(reply.out.find("42\n"), std::string::npos) << reply.out;
}

// So that sessions with the default limits come from the pool, and those with others from the zygote.
constexpr size_t kPoolSize = 1;

SharedServer& Shared() {
  static auto* const shared = static_cast<SharedServer*>(::testing::AddGlobalTestEnvironment(
      new SharedServer({"--set", absl::StrCat("interpreter.pool_size=", kPoolSize),
                        // Many attacks end by it; nothing is proven by waiting longer.
                        "--set", "interpreter.interrupt_grace_ms=1000"})));
  return *shared;
}
[[maybe_unused]] const SharedServer& kRegistered = Shared();

// With no session: beside what there is without a pool, of the pool an init and its program for Python, and for bash an
// init, its program and the shell. Where there is one session at a time nothing is kept ready.
size_t AtRest(Tier tier) { return ProcessesAtRest(tier) + (tier == Tier::kConfined ? 0 : kPoolSize * (2 + 3)); }

class VictimTest : public ::testing::TestWithParam<std::tuple<Victim, Tier>> {
 protected:
  void Run() {
    const auto& [victim, tier] = GetParam();
    const absl::StatusOr<JailedServer*> server = Shared().For(tier);
    CARREL_NEED("ROOT", server.status().code() != absl::StatusCode::kFailedPrecondition, server.status());
    ASSERT_TRUE(server.ok()) << server.status();
    const Interpreter interpreter((*server)->channel());

    const std::string session =
        interpreter.Create(ParseLimits(victim.One("limits", tier).value_or("")), victim.runtime);
    const auto files = victim.One("return", tier) == "bytes" ? interpreter::v1::RETURN_FILES_BYTES
                                                             : interpreter::v1::RETURN_FILES_REFERENCES;
    const Reply reply = interpreter.Run(session, victim.code, files);
    ExpectOutcome(victim, reply, tier);
    if (reply.outcome.state_kept()) ExpectNextCall(interpreter, session, victim, tier);
    // While the attacker's session is still there (unless it is the only one that can be), and after it.
    if (tier != Tier::kConfined) ExpectCleanSession(interpreter, tier);
    interpreter.Delete(session);
    ExpectCleanSession(interpreter, tier);
    EXPECT_LE(WaitForProcesses(**server, tier, AtRest(tier)), AtRest(tier)) << "a process of the session is left";
    if (HasFailure()) {
      Shared().Spoil();
      std::cerr << "outcome: " << reply.outcome.ShortDebugString() << "\nstdout: " << reply.out.substr(0, 2000)
                << "\nstderr: " << reply.err.substr(0, 2000) << '\n';
    }
  }
};

class Attack : public VictimTest {};
TEST_P(Attack, IsContained) { Run(); }

class Twin : public VictimTest {};
TEST_P(Twin, Works) { Run(); }

std::vector<std::tuple<Victim, Tier>> For(const std::string& folder, Tier tier) {
  std::vector<std::tuple<Victim, Tier>> cases;
  for (Victim& victim : LoadVictims(std::string(CARREL_SECURITY) + "/" + folder)) {
    if (victim.RunsIn(tier)) cases.emplace_back(std::move(victim), tier);
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<std::tuple<Victim, Tier>>& info) {
  return std::get<0>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Full, Attack, ::testing::ValuesIn(For("attacks", Tier::kFull)), CaseName);
INSTANTIATE_TEST_SUITE_P(Full, Twin, ::testing::ValuesIn(For("twins", Tier::kFull)), CaseName);
INSTANTIATE_TEST_SUITE_P(Userns, Attack, ::testing::ValuesIn(For("attacks", Tier::kUserns)), CaseName);
INSTANTIATE_TEST_SUITE_P(Userns, Twin, ::testing::ValuesIn(For("twins", Tier::kUserns)), CaseName);

INSTANTIATE_TEST_SUITE_P(Confined, Attack, ::testing::ValuesIn(For("attacks", Tier::kConfined)), CaseName);
INSTANTIATE_TEST_SUITE_P(Confined, Twin, ::testing::ValuesIn(For("twins", Tier::kConfined)), CaseName);

}  // namespace

// gtest prints parameters byte by byte otherwise.
void PrintTo(const Victim& victim, std::ostream* out) { *out << victim.name; }
void PrintTo(Tier tier, std::ostream* out) { *out << NameOf(tier); }

}  // namespace carrel::testing
