// What `carrel serve` refuses before it starts anything.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "carrel_process.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ServeCommandTest : public CarrelProcess {
 protected:
  // Fails before the servers are started; the data directory is our own, whoever we are.
  Result Serve(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"serve", "--set", "jail.tier=userns", "--set",
                                          "gateway.grpc_listen=127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Carrel(std::move(arguments));
  }
};

TEST_F(ServeCommandTest, APortThatIsTakenIsAClearError) {
  const UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  ASSERT_EQ(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  const Result result = Serve({"--http", "127.0.0.1:" + port});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("cannot listen on 127.0.0.1:" + port + " (--http)"));
  EXPECT_THAT(result.err, HasSubstr("choose another port"));
}

TEST_F(ServeCommandTest, AddressesThatAreNoneAreRefused) {
  for (const char* address : {"8080", "example.com:8080", "127.0.0.1:99999", "unix:/x"}) {
    const Result result = Serve({"--http", address});
    EXPECT_EQ(result.exit_code, 2) << address;
    EXPECT_THAT(result.err, HasSubstr("--http")) << address;
  }
  EXPECT_EQ(Serve({"--http", "192.0.2.1:8080"}).exit_code, 2);
}

// Attack: keys of callers read off the wire.
TEST_F(ServeCommandTest, GrpcBeyondThisMachineWantsTls) {
  const Result result = Serve({"--http", "127.0.0.1:0", "--grpc", "0.0.0.0:0"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("rpc.tls_cert_file"));
}

TEST_F(ServeCommandTest, ABootstrapKeyThatCouldBeGuessedIsRefusedAndNotPrinted) {
  for (const char* key : {"short", "with a space in the middle of it", "with\nanother line of its own"}) {
    environment_ = {std::string("CARREL_BOOTSTRAP_KEY=") + key};
    const Result result = Serve({"--http", "127.0.0.1:0"});
    EXPECT_EQ(result.exit_code, 2) << key;
    EXPECT_THAT(result.err, HasSubstr("CARREL_BOOTSTRAP_KEY has"));
    EXPECT_THAT(result.err + result.out, Not(HasSubstr(key)));
    EXPECT_FALSE(std::filesystem::exists(data_ + "/root.key"));
  }
}

TEST_F(ServeCommandTest, AModelKeyThatCannotBeReadIsAnError) {
  const Result result = Serve({"--http", "127.0.0.1:0", "--set", "model.api_key_file=" + temp_.path() + "/none"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("model.api_key_file"));
  EXPECT_FALSE(std::filesystem::exists(data_ + "/root.key"));
}

}  // namespace
}  // namespace carrel::cli
