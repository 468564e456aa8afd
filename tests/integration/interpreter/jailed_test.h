// What the tests in the real jail have in common: one server for all cases of a suite, a session for each, and after
// each a look at whether the next session is clean.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/integration/interpreter/client.h"
#include "tests/integration/interpreter/jailed_server.h"

namespace carrel::testing {

class JailedTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = JailedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
    client_ = new Client(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }
  static void TearDownTestSuite() {
    delete client_;
    delete server_;
    client_ = nullptr;
    server_ = nullptr;
  }
  void SetUp() override {
    ASSERT_NE(client_, nullptr);
    interpreter::v1::Limits limits;
    limits.set_memory_bytes(512 << 20);
    limits.set_processes(64);
    limits.set_workspace_bytes(8 << 20);
    session_ = client_->NewSession(limits);
    ASSERT_NE(session_, "");
    ASSERT_EQ(client_->Run(session_, "kept = 'kept'").outcome.kind(), interpreter::v1::COMPLETED);
  }
  void TearDown() override {
    EXPECT_TRUE(client_->Delete(session_));
    // Whatever the code did, the next session is clean and works.
    const Ran next = client_->Run(client_->NewSession(), "import os\n'kept' in globals(), os.listdir('/mnt/data')");
    EXPECT_EQ(next.result(), "(False, [])") << next.status.error_message();
    EXPECT_TRUE(client_->Delete(next.session_id));
  }

  static Ran Run(const std::string& code, uint64_t wall_ms = 20'000) {
    interpreter::v1::Limits limits;
    limits.set_wall_ms(wall_ms);
    const Ran ran = client_->Run(session_, code, limits);
    EXPECT_TRUE(ran.status.ok()) << ran.status.error_message();
    return ran;
  }
  static void ExpectKept() { EXPECT_EQ(client_->Run(session_, "kept").result(), "'kept'"); }
  static void ExpectDead() {
    EXPECT_EQ(client_->Run(session_, "kept").status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  }
  // An ordinary user has no control group where these are version 1.
  static bool MemoryIsCounted() { return ::geteuid() == 0; }

  static inline JailedServer* server_ = nullptr;
  static inline Client* client_ = nullptr;
  static inline std::string session_;
};

}  // namespace carrel::testing
