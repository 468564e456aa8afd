// Sessions whose workspaces lie on a disk: what code in them, and who asks for their files, sees of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "sandbox/base/temp_dir.h"
#include "sandbox/doctor.h"
#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DiskWorkspaceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    auto directory = TempDir::Create(CARREL_DISK);  // /tmp may be memory
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_ = new TempDir(*std::move(directory));
    const sandbox::LayerState layer = sandbox::ExamineDiskWorkspaces(directory_->path(), "full");
    why_not_ = layer.active ? "" : layer.detail + "; " + layer.mend;
    if (!layer.active) return;
    auto server = JailedServer::Start(
        {"--set", "interpreter.workspace_directory=" + directory_->path(), "--set", "interpreter.pool_size=1"},
        {"--workspaces", directory_->path()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
    client_ = new Client(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }
  static void TearDownTestSuite() {
    delete client_;
    delete server_;
    delete directory_;
    client_ = nullptr;
    server_ = nullptr;
    directory_ = nullptr;
  }
  void SetUp() override {
    if (!why_not_.empty()) GTEST_SKIP() << why_not_;
    ASSERT_NE(client_, nullptr);
  }
  void TearDown() override {
    if (client_ == nullptr) return;
    EXPECT_EQ(Run({}, "import os\nos.listdir('/mnt/data')").result(), "[]") << "the next session is not clean";
    EXPECT_TRUE(std::filesystem::is_empty(directory_->path()));
  }
  static Ran Run(const v1::Limits& limits, const std::string& code) {
    const Ran ran = client_->Run(client_->NewSession(limits), code);
    EXPECT_TRUE(ran.status.ok()) << ran.status.error_message();
    EXPECT_TRUE(client_->Delete(ran.session_id));
    return ran;
  }
  static v1::Limits LimitsOf(uint64_t memory_bytes, uint64_t workspace_bytes) {
    v1::Limits limits;
    limits.set_memory_bytes(memory_bytes);
    limits.set_workspace_bytes(workspace_bytes);
    return limits;
  }

  static inline std::string why_not_ = "only root mounts images";
  static inline TempDir* directory_ = nullptr;
  static inline JailedServer* server_ = nullptr;
  static inline Client* client_ = nullptr;
};

TEST_F(DiskWorkspaceTest, MoreFilesThanMemory) {
  const Ran ran = Run(LimitsOf(256 << 20, uint64_t{1} << 30),
                      "import os\n"
                      "with open('big', 'wb') as f:\n    for _ in range(600): f.write(os.urandom(1 << 20))\n"
                      "import hashlib\nsum(len(p) for p in iter(lambda f=open('big', 'rb'): f.read(1 << 20), b''))");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.result(), std::to_string(600 << 20));
  EXPECT_THAT(ran.outcome.limits_touched(), Not(Contains(v1::LIMIT_MEMORY)));
}

// The twin of fill_workspace, whose verdict a full tmpfs gives.
TEST_F(DiskWorkspaceTest, AFullOneIsAnOSErrorThatTouchesTheLimit) {
  const Ran ran = Run(LimitsOf(256 << 20, 8 << 20),
                      "with open('fill', 'wb', buffering=0) as f:\n    while True: f.write(b'x' * (1 << 20))");
  EXPECT_EQ(ran.outcome.kind(), v1::RAISED) << ran.outcome.ShortDebugString();
  EXPECT_EQ(ran.outcome.exception().name(), "OSError");
  EXPECT_THAT(ran.outcome.exception().value(), HasSubstr("No space left on device"));
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
  EXPECT_TRUE(ran.outcome.state_kept());
}

// Caught by the code, the error says nothing; that it is full is seen all the same. (By pages: ext4 refuses the whole
// of a larger write when a part of it would fit.)
TEST_F(DiskWorkspaceTest, AFullOneThatTheCodeDoesNotMind) {
  const Ran ran = Run(LimitsOf(256 << 20, 8 << 20),
                      "try:\n    with open('fill', 'wb', buffering=0) as f:\n        while True: f.write(b'x' * 4096)\n"
                      "except OSError: pass");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.ShortDebugString();
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
}

TEST_F(DiskWorkspaceTest, TooManyFiles) {
  v1::Limits limits;
  limits.set_workspace_files(200);
  const Ran ran = Run(limits, "import itertools\nfor n in itertools.count(): open(str(n), 'w').close()");
  EXPECT_THAT(ran.outcome.exception().value(), HasSubstr("No space left")) << ran.outcome.ShortDebugString();
  EXPECT_THAT(ran.outcome.limits_touched(), Contains(v1::LIMIT_WORKSPACE));
}

TEST_F(DiskWorkspaceTest, WhatPeopleDoWithFilesWorks) {
  const Ran ran =
      Run({},
          "import sqlite3, mmap, os, pandas as pd, numpy as np\n"
          "db = sqlite3.connect('a.db'); db.execute('pragma journal_mode=wal')\n"
          "db.execute('create table t (x)'); db.execute('insert into t values (7)'); db.commit()\n"
          "frame = pd.DataFrame({'a': range(1000)}); frame.to_parquet('f.parquet'); frame.to_csv('f.csv')\n"
          "m = np.memmap('m.bin', dtype='i8', mode='w+', shape=1000); m[:] = 3; m.flush()\n"
          "os.link('f.csv', 'hard'); os.symlink('f.csv', 'soft'); os.setxattr('f.csv', 'user.a', b'b')\n"
          "open('run.sh', 'w').write('#!/bin/sh\\necho ran'); os.chmod('run.sh', 0o755)\n"
          "import subprocess\n"
          "(db.execute('select x from t').fetchall(), len(pd.read_parquet('f.parquet')), int(m.sum()),\n"
          " os.stat('hard').st_nlink, os.getxattr('f.csv', 'user.a'), subprocess.check_output('./run.sh'))");
  EXPECT_EQ(ran.result(), "([(7,)], 1000, 3000, 2, b'b', b'ran\\n')") << ran.outcome.ShortDebugString();
}

TEST_F(DiskWorkspaceTest, FilesAreUploadedListedAndDownloaded) {
  const std::string session = client_->NewSession();
  const std::string content(3 << 20, 'c');
  ASSERT_TRUE(client_->Upload(session, "in.bin", content).ok());
  const Ran ran = client_->Run(session, "open('out.bin', 'wb').write(open('in.bin', 'rb').read()[::-1] + b'!')");
  EXPECT_EQ(ran.result(), std::to_string(content.size() + 1));
  EXPECT_EQ(client_->Download(session, "out.bin"), content + "!");
  EXPECT_TRUE(client_->Delete(session));
}

TEST(DiskWorkspaceRefusal, AServerWhoseJailerWasNotTold) {
  const auto server = JailedServer::Start({"--set", "interpreter.workspace_directory=/var/tmp"});
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("exited with 2"));
}

}  // namespace
}  // namespace carrel::testing
