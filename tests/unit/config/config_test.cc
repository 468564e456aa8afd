#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace carrel::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "config_test_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    file_ = directory_ + "/carrel.toml";
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<Config> LoadText(const std::string& text) {
    std::ofstream(file_) << text;
    return Load({.file = file_});
  }
  std::string ErrorOf(const std::string& text) {
    const auto config = LoadText(text);
    return config.ok() ? "" : std::string(config.status().message().data(), config.status().message().size());
  }

  std::string directory_;
  std::string file_;
};

std::string ErrorOf(const LoadOptions& options) {
  const auto config = Load(options);
  return config.ok() ? "" : std::string(config.status().message().data(), config.status().message().size());
}

TEST_F(ConfigTest, TheDefaultFileSaysExactlyTheDefaults) {
  const auto config = LoadText(std::string(DefaultToml()));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(Print(*config), Print(Config{}));
  EXPECT_TRUE(Changed(*config).empty());
}

TEST_F(ConfigTest, TheDefaultFileNamesEveryKey) {
  const std::string text(DefaultToml());
  std::string printed = Print(Config{});
  for (size_t begin = 0; begin < printed.size();) {
    const size_t end = printed.find('\n', begin);
    const std::string line = printed.substr(begin, end - begin);
    EXPECT_NE(text.find("\n" + line + "\n"), std::string::npos) << "carrel.toml lacks: " << line;
    begin = end + 1;
  }
}

TEST_F(ConfigTest, WhatIsPrintedIsReadBackAsTheSame) {
  const auto config = LoadText("[rpc]\nallowed_uids = [1000, 33]\ntoken_file = \"a\\\"b\\\\c\"\ndrain_ms = 7\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string printed = Print(*config);
  const auto again = LoadText(printed);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Print(*again), printed);
  EXPECT_EQ(again->rpc.token_file, "a\"b\\c");
}

// Attack: a list of processes shows the password of the proxy, or the model's key.
TEST_F(ConfigTest, SecretsAreInNoArgumentsAndInNoPrint) {
  const auto config =
      Load({.environment = {"CARREL_MODEL_API_KEY=sk-secret", "CARREL_MODEL_PROXY_URL=http://me:secret@proxy:3128"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model.proxy_url, "http://me:secret@proxy:3128");
  EXPECT_TRUE(Changed(*config).empty());
  EXPECT_EQ(Print(*config).find("secret"), std::string::npos);
  for (const char* key : {"model.api_key", "model.proxy_url"}) {
    EXPECT_EQ(Load({.flags = {{key, "x"}}}).status().code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST_F(ConfigTest, FlagsWinOverEnvironmentOverFileOverDefaults) {
  std::ofstream(file_) << "[rpc]\ndrain_ms = 1\ncall_ms_max = 2000\nthreads_max = 8\n";
  const auto config = Load({.file = file_,
                            .environment = {"CARREL_RPC_DRAIN_MS=2", "CARREL_RPC_CALL_MS_MAX=3000"},
                            .flags = {{"rpc.drain_ms", "3"}}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rpc.drain_ms, 3u);
  EXPECT_EQ(config->rpc.call_ms_max, 3000u);
  EXPECT_EQ(config->rpc.threads_max, 8u);
  EXPECT_EQ(config->rpc.message_bytes_max, Config{}.rpc.message_bytes_max);
}

TEST_F(ConfigTest, UnknownKeysAreErrorsWithLineAndGuess) {
  EXPECT_THAT(ErrorOf("[rpc]\n\ndrain_sm = 1\n"),
              StartsWith(file_ + ":3: unknown key \"drain_sm\" in [rpc]; did you mean \"drain_ms\"?"));
  EXPECT_THAT(ErrorOf("[rcp]\ndrain_ms = 1\n"), StartsWith(file_ + ":1: unknown section [rcp]; did you mean \"rpc\"?"));
  EXPECT_THAT(ErrorOf("[storage]\nzzzzzzzzzzzz = 1\n"), HasSubstr("there are: sync"));
  EXPECT_THAT(ErrorOf("drain_ms = 1\n"), HasSubstr("outside any section"));
}

TEST_F(ConfigTest, WrongTypesAndRangesAreErrorsWithLine) {
  EXPECT_THAT(ErrorOf("[rpc]\ndrain_ms = \"1\"\n"), StartsWith(file_ + ":2: rpc.drain_ms must be a whole number"));
  EXPECT_THAT(ErrorOf("[rpc]\ndrain_ms = -1\n"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf("[rpc]\ndrain_ms = 600001\n"),
              StartsWith(file_ + ":2: rpc.drain_ms is 600001: expected 0 to 600000"));
  EXPECT_THAT(ErrorOf("[retrieval]\nextract_memory_bytes_max = 4294967297\n"),
              HasSubstr("expected 67108864 to 4294967296"));
  EXPECT_THAT(ErrorOf("[retrieval]\ndocument_pages_max = 0\n"), HasSubstr("expected 1 to 1000000"));
  EXPECT_THAT(ErrorOf("[rpc]\nreflection = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(ErrorOf("[rpc]\nallowed_uids = 1000\n"), HasSubstr("list of user numbers"));
  EXPECT_THAT(ErrorOf("[rpc]\nallowed_uids = [4294967295]\n"), HasSubstr("no uid"));
  EXPECT_THAT(ErrorOf("[log]\nlevel = \"loud\"\n"), HasSubstr("expected one of debug, info, warning, error, off"));
  EXPECT_THAT(ErrorOf("[rpc]\ndrain_ms = \n"), StartsWith(file_ + ":2: "));
  EXPECT_THAT(ErrorOf("[rpc\n"), StartsWith(file_ + ":1: "));
}

TEST_F(ConfigTest, AliasesAreATable) {
  const auto config = LoadText("[model.aliases]\n\"gpt-4o\" = \"mine\"\ngpt-4 = \"mine too\"\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::map<std::string, std::string> expected = {{"gpt-4o", "mine"}, {"gpt-4", "mine too"}};
  EXPECT_EQ(config->model.aliases, expected);
  // Printed, and handed on to a server, it is the same.
  EXPECT_THAT(Print(*config), HasSubstr("aliases = { \"gpt-4\" = \"mine too\", \"gpt-4o\" = \"mine\" }"));
  EXPECT_EQ(LoadText(Print(*config))->model.aliases, expected);
  EXPECT_EQ(Load({.flags = Changed(*config)})->model.aliases, expected);
  EXPECT_EQ(Load({.environment = {"CARREL_MODEL_ALIASES=gpt-4o = mine, gpt-4=mine too"}})->model.aliases, expected);

  EXPECT_THAT(ErrorOf("[model]\naliases = \"a=b\"\n"), HasSubstr("must be a table"));
  EXPECT_THAT(ErrorOf("[model.aliases]\na = 1\n"), HasSubstr("model.aliases.a must be a text in quotes"));
  EXPECT_THAT(ErrorOf("[model.aliases]\na = \"\"\n"), HasSubstr("1 to 256 bytes"));
  EXPECT_THAT(ErrorOf("[model.aliases]\n\"a,b\" = \"c\"\n"), HasSubstr("without , and ="));
  EXPECT_THAT(config::ErrorOf({.environment = {"CARREL_MODEL_ALIASES=nonsense"}}), HasSubstr("expected NAME=NAME"));
  EXPECT_THAT(ErrorOf("[model.alias]\na = \"b\"\n"), HasSubstr("did you mean \"aliases\"?"));
}

TEST_F(ConfigTest, FilesThatCannotBeReadAreErrorsAndEmptyOnesAreNot) {
  EXPECT_THAT(carrel::config::ErrorOf({.file = directory_ + "/none"}), HasSubstr("cannot be read"));
  EXPECT_THAT(carrel::config::ErrorOf({.file = directory_}), HasSubstr("cannot be read"));
  EXPECT_EQ(ErrorOf(""), "");
}

TEST(Config, TheEnvironmentKnowsItsSectionsAndMindsNoOthers) {
  EXPECT_EQ(
      ErrorOf({.environment = {"CARREL_DATA=/x", "CARREL_JAILER_FD=3", "CARREL_URL=y", "PATH=z", "CARREL_RPCX=1"}}),
      "");
  EXPECT_THAT(ErrorOf({.environment = {"CARREL_RPC_DRAIN=1"}}),
              StartsWith("environment CARREL_RPC_DRAIN: unknown key"));
  EXPECT_THAT(ErrorOf({.environment = {"CARREL_RPC_REFLECTION=yes"}}), HasSubstr("expected true or false"));
  const auto config = Load({.environment = {"CARREL_RPC_ALLOWED_UIDS=1000,33", "CARREL_JAIL_ALLOW_NO_CGROUP=true"}});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->rpc.allowed_uids, (std::vector<uint32_t>{1000, 33}));
  EXPECT_TRUE(config->jail.allow_no_cgroup);
}

TEST(Config, FlagsAreChecked) {
  EXPECT_THAT(ErrorOf({.flags = {{"drain_ms", "1"}}}), HasSubstr("unknown section"));
  EXPECT_THAT(ErrorOf({.flags = {{"rpc.drain_ms", "1,2"}}}), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf({.flags = {{"rpc.drain_ms", ""}}}), HasSubstr("whole number"));
}

TEST(Config, ADirectoryOfWorkspacesIsAnAbsolutePath) {
  for (const char* wrong : {"workspaces", "./w", "~/w", " /w"}) {
    EXPECT_THAT(ErrorOf({.flags = {{"interpreter.workspace_directory", wrong}}}),
                HasSubstr("expected an absolute path, or nothing"))
        << wrong;
  }
  EXPECT_EQ(ErrorOf({.flags = {{"interpreter.workspace_directory", ""}}}), "");
  const auto config = Load({.flags = {{"interpreter.workspace_directory", "/var/lib/carrel/workspaces"}}});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->interpreter.workspace_directory, "/var/lib/carrel/workspaces");
}

TEST(Config, ChangedSettingsCarryTheConfigurationToAServer) {
  const auto config =
      Load({.flags = {{"rpc.allowed_uids", "7,8"}, {"log.level", "debug"}, {"jail.allow_no_cgroup", "true"}}});
  ASSERT_TRUE(config.ok());
  const auto changed = Changed(*config);
  EXPECT_EQ(changed.size(), 3u);
  const auto again = Load({.flags = changed});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(Print(*again), Print(*config));
}

}  // namespace
}  // namespace carrel::config
