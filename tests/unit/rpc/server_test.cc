// rpc::Server with a real service, over real sockets.
#include "rpc/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "rpc/status.h"
#include "support/missing_layer.h"

namespace carrel::rpc {
namespace {

namespace v1 = interpreter::v1;
using ::testing::HasSubstr;

class FakeService final : public v1::CodeInterpreter::Service {
 public:
  grpc::Status GetSession(grpc::ServerContext* context, const v1::GetSessionRequest* request,
                          v1::Session* session) override {
    ++calls;
    if (request->session_id() == "wait") {
      while (!context->IsCancelled() && !release) absl::SleepFor(absl::Milliseconds(5));
      return context->IsCancelled() ? grpc::Status::CANCELLED : grpc::Status::OK;
    }
    if (request->session_id().empty()) {
      return ToGrpc(RetryAfter(InvalidField("session_id", "", "1 to 64 characters"), absl::Seconds(2)), *context);
    }
    session->set_session_id(request->session_id());
    return grpc::Status::OK;
  }

  std::atomic<int> calls = 0;
  std::atomic<bool> release = false;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rpc_test_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    socket_ = directory_ + "/s with space.sock";
  }
  ~ServerTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  absl::Status Start(ServerOptions options) {
    auto server = Server::Start(std::move(options), {{&service_, v1::CodeInterpreter::service_full_name()}});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }
  absl::Status StartUnix(ServerOptions options = {}) {
    options.listen = {.kind = Address::Kind::kUnix, .path = socket_};
    return Start(std::move(options));
  }
  static Address Loopback() { return {.kind = Address::Kind::kTcp, .host = "127.0.0.1", .port = 0}; }

  std::shared_ptr<grpc::Channel> Channel(ChannelOptions options = {}) {
    options.address = server_->listening();
    auto channel = MakeChannel(options);
    EXPECT_TRUE(channel.ok()) << channel.status();
    return *channel;
  }
  absl::Status Get(const std::shared_ptr<grpc::Channel>& channel, const std::string& id,
                   absl::Duration timeout = absl::Seconds(20)) {
    v1::CodeInterpreter::Stub stub(channel);
    grpc::ClientContext context;
    if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    v1::GetSessionRequest request;
    request.set_session_id(id);
    request.set_owner("project-a");
    v1::Session session;
    return FromGrpc(stub.GetSession(&context, request, &session), context);
  }
  std::string WriteFile(const std::string& name, const std::string& text) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  std::string directory_;
  std::string socket_;
  FakeService service_;
  std::unique_ptr<Server> server_;
};

std::string Message(const absl::Status& status) { return {status.message().data(), status.message().size()}; }

TEST_F(ServerTest, ServesOnAUnixSocketOfMode0600AndRemovesItAtTheEnd) {
  ASSERT_TRUE(StartUnix().ok());
  struct stat info {};
  ASSERT_EQ(::lstat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_TRUE(Get(Channel(), "a").ok());
  server_->Shutdown();
  EXPECT_NE(::lstat(socket_.c_str(), &info), 0);
}

TEST_F(ServerTest, ReplacesAStaleSocketButNotALiveOneNorAFile) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_.c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);
  ASSERT_TRUE(StartUnix().ok());
  EXPECT_TRUE(Get(Channel(), "a").ok());

  FakeService second;
  const auto refused = Server::Start({.listen = {.kind = Address::Kind::kUnix, .path = socket_}},
                                     {{&second, v1::CodeInterpreter::service_full_name()}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Get(Channel(), "a").ok()) << "the first server lost its socket";

  const std::string file = WriteFile("file", "precious");
  const auto no_socket = Server::Start({.listen = {.kind = Address::Kind::kUnix, .path = file}},
                                       {{&second, v1::CodeInterpreter::service_full_name()}});
  EXPECT_EQ(no_socket.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::is_regular_file(file));
}

// In a child, because a uid cannot be taken back: connects as `uid`; 'r': the server spoke, 'c': it closed, 'e':
// refused.
char ConnectAs(uid_t uid, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresuid(uid, uid, uid) != 0) ::_exit('?');
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) ::_exit('e');
    char byte = 0;
    ::_exit(::recv(fd, &byte, 1, 0) == 1 ? 'r' : 'c');
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return static_cast<char>(WEXITSTATUS(status));
}

TEST_F(ServerTest, RefusesPeersOfOtherUsersBeforeReadingAByte) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "it needs root to become another user");
  ASSERT_EQ(::chmod(directory_.c_str(), 0711), 0);
  ASSERT_TRUE(StartUnix({.allowed_uids = {54321}}).ok());
  EXPECT_EQ(ConnectAs(54321, socket_), 'r');
  EXPECT_EQ(ConnectAs(0, socket_), 'r');
  EXPECT_EQ(ConnectAs(54322, socket_), 'c');
}

TEST_F(ServerTest, TheSocketsModeStopsOthersWhenNobodyElseIsAllowed) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "it needs root to become another user");
  ASSERT_EQ(::chmod(directory_.c_str(), 0711), 0);
  ASSERT_TRUE(StartUnix().ok());
  EXPECT_EQ(ConnectAs(54321, socket_), 'e');
}

TEST_F(ServerTest, LogsOneLinePerCallWithPeerAndOwnerAndNoBodies) {
  ASSERT_TRUE(StartUnix().ok());
  const auto channel = Channel();
  testing::internal::CaptureStderr();
  EXPECT_TRUE(Get(channel, "very-private-id").ok());
  EXPECT_FALSE(Get(channel, "").ok());
  server_->Shutdown();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("\"method\":\"/carrel.interpreter.v1.CodeInterpreter/GetSession\",\"code\":\"OK\""));
  EXPECT_THAT(log, HasSubstr("\"code\":\"INVALID_ARGUMENT\""));
  EXPECT_THAT(log, HasSubstr("\"peer\":\"uid:" + std::to_string(::geteuid()) + " pid:" + std::to_string(::getpid())));
  EXPECT_THAT(log, HasSubstr("\"owner\":\"project-a\""));
  EXPECT_THAT(log, HasSubstr("\"bytes_in\":28"));
  EXPECT_EQ(log.find("very-private-id"), std::string::npos);
}

TEST_F(ServerTest, ErrorsCarryTheirDetail) {
  ASSERT_TRUE(StartUnix().ok());
  const absl::Status status = Get(Channel(), "");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const auto detail = DetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field(), "session_id");
  EXPECT_EQ(detail->retry_after_ms(), 2000u);
}

TEST_F(ServerTest, HealthIsNotServingUntilSaidSo) {
  ASSERT_TRUE(StartUnix().ok());
  const std::string name = v1::CodeInterpreter::service_full_name();
  EXPECT_EQ(CheckHealth(Channel(), name, absl::Seconds(5)).code(), absl::StatusCode::kUnavailable);
  server_->SetServing(true);
  EXPECT_TRUE(CheckHealth(Channel(), name, absl::Seconds(5)).ok());
  EXPECT_EQ(CheckHealth(Channel(), "no.such.Service", absl::Seconds(5)).code(), absl::StatusCode::kNotFound);
}

TEST_F(ServerTest, ACallWithoutADeadlineIsCancelledAfterTheServersMaximum) {
  ASSERT_TRUE(StartUnix({.call_max = absl::Milliseconds(100)}).ok());
  const absl::Time begin = absl::Now();
  EXPECT_EQ(Get(Channel(), "wait", absl::InfiniteDuration()).code(), absl::StatusCode::kCancelled);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

TEST_F(ServerTest, ShutdownLetsARunningCallEnd) {
  ASSERT_TRUE(StartUnix({.drain = absl::Seconds(30)}).ok());
  absl::Status result = absl::UnknownError("not yet");
  std::thread caller([&] { result = Get(Channel(), "wait"); });
  while (service_.calls == 0) absl::SleepFor(absl::Milliseconds(2));
  std::thread stopper([&] { server_->Shutdown(); });
  absl::SleepFor(absl::Milliseconds(50));
  service_.release = true;
  caller.join();
  stopper.join();
  EXPECT_TRUE(result.ok()) << result;
}

TEST_F(ServerTest, ShutdownCancelsWhatOutlivesTheDrain) {
  ASSERT_TRUE(StartUnix({.drain = absl::Milliseconds(50)}).ok());
  absl::Status result;
  std::thread caller([&] { result = Get(Channel(), "wait"); });
  while (service_.calls == 0) absl::SleepFor(absl::Milliseconds(2));
  const absl::Time begin = absl::Now();
  server_->Shutdown();
  caller.join();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_FALSE(result.ok());
}

TEST_F(ServerTest, AnOverlongMessageIsRefused) {
  ASSERT_TRUE(StartUnix({.message_bytes_max = 70'000}).ok());
  EXPECT_EQ(Get(Channel(), std::string(80'000, 'x')).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(service_.calls, 0);
}

TEST_F(ServerTest, TcpWithoutTlsOrTokenIsRefusedWithWhatToSet) {
  const absl::Status status = Start({.listen = Loopback()});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("rpc.token_file"));
  EXPECT_THAT(Message(status), HasSubstr("rpc.tls_cert_file"));
}

TEST_F(ServerTest, ATokenBeyondLoopbackNeedsTls) {
  const std::string token = WriteFile("token", "0123456789abcdef\n");
  const absl::Status status =
      Start({.listen = {.kind = Address::Kind::kTcp, .host = "0.0.0.0", .port = 0}, .token_file = token});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("in clear"));
}

TEST_F(ServerTest, AShortTokenIsRefused) {
  const absl::Status status = Start({.listen = Loopback(), .token_file = WriteFile("token", "short\n")});
  EXPECT_THAT(Message(status), HasSubstr("16 or more"));
}

TEST_F(ServerTest, TheTokenIsAskedForBeforeAHandlerRuns) {
  const std::string token = WriteFile("token", "0123456789abcdef\n");
  ASSERT_TRUE(Start({.listen = Loopback(), .token_file = token}).ok());
  EXPECT_TRUE(Get(Channel({.token_file = token}), "a").ok());
  EXPECT_EQ(service_.calls, 1);
  EXPECT_EQ(Get(Channel(), "a").code(), absl::StatusCode::kUnauthenticated);
  const std::string wrong = WriteFile("wrong", "0123456789abcdeF\n");
  EXPECT_EQ(Get(Channel({.token_file = wrong}), "a").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(service_.calls, 1) << "a handler ran for a caller without the token";
}

// What a client of another language does: a plain channel, and the header by hand.
TEST_F(ServerTest, APlainClientWithTheHeaderIsServedOnLoopback) {
  ASSERT_TRUE(Start({.listen = Loopback(), .token_file = WriteFile("token", "0123456789abcdef\n")}).ok());
  v1::CodeInterpreter::Stub stub(
      grpc::CreateChannel(server_->listening().ToString(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer 0123456789abcdef");
  v1::GetSessionRequest request;
  request.set_session_id("a");
  v1::Session session;
  EXPECT_TRUE(stub.GetSession(&context, request, &session).ok());
}

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    const std::string script =
        "cd '" + directory_ +
        "' && exec >openssl.log 2>&1 && "
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem && "
        "for n in server client; do openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $n.key -out $n.csr "
        "&& "
        "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > ext && "
        "openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $n.pem || "
        "exit 1; "
        "done";
    ASSERT_EQ(std::system(script.c_str()), 0) << "the program openssl is needed to make certificates";
  }
  [[nodiscard]] TlsFiles Files(const std::string& name) const {
    return {.cert_file = directory_ + "/" + name + ".pem",
            .key_file = directory_ + "/" + name + ".key",
            .ca_file = directory_ + "/ca.pem"};
  }
};

TEST_F(TlsTest, MutualTlsServesWhoHasACertificateAndNobodyElse) {
  ASSERT_TRUE(Start({.listen = Loopback(), .tls = Files("server")}).ok());
  EXPECT_TRUE(Get(Channel({.tls = Files("client")}), "a").ok());
  EXPECT_EQ(Get(Channel({.tls = {.ca_file = directory_ + "/ca.pem"}}), "a").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Get(Channel(), "a", absl::Seconds(5)).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service_.calls, 1);
}

TEST_F(TlsTest, TlsWithATokenServesWhoHasTheToken) {
  const std::string token = WriteFile("token", "0123456789abcdef\n");
  TlsFiles files = Files("server");
  files.ca_file.clear();
  ASSERT_TRUE(Start({.listen = Loopback(), .tls = files, .token_file = token}).ok());
  const TlsFiles client{.ca_file = directory_ + "/ca.pem"};
  EXPECT_TRUE(Get(Channel({.tls = client, .token_file = token}), "a").ok());
  EXPECT_EQ(Get(Channel({.tls = client}), "a").code(), absl::StatusCode::kUnauthenticated);
}

std::string HttpGet(uint16_t port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  std::string reply;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char buffer[4096];
      for (ssize_t size = 0; (size = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
        reply.append(buffer, static_cast<size_t>(size));
    }
  }
  ::close(fd);
  return reply;
}

TEST_F(ServerTest, MetricsCountCallsByMethodAndCode) {
  ASSERT_TRUE(StartUnix({.metrics_listen = "127.0.0.1:0"}).ok());
  ASSERT_NE(server_->metrics_port(), 0);
  const auto channel = Channel();
  EXPECT_TRUE(Get(channel, "a").ok());
  EXPECT_FALSE(Get(channel, "").ok());
  const std::string method = "method=\"/carrel.interpreter.v1.CodeInterpreter/GetSession\"";
  std::string page;
  // The call is counted when its context is gone, which may be a moment after the reply.
  for (int i = 0; i < 200 && page.find("code=\"INVALID_ARGUMENT\"") == std::string::npos; ++i) {
    absl::SleepFor(absl::Milliseconds(10));
    page = HttpGet(server_->metrics_port(), "/metrics");
  }
  EXPECT_THAT(page, HasSubstr("carrel_rpc_calls_total{code=\"OK\"," + method + "} 1"));
  EXPECT_THAT(page, HasSubstr("carrel_rpc_calls_total{code=\"INVALID_ARGUMENT\"," + method + "} 1"));
  EXPECT_THAT(page, HasSubstr("carrel_rpc_seconds_count{" + method + "} 2"));
  EXPECT_THAT(page, HasSubstr("carrel_rpc_running{" + method + "} 0"));
}

// One message and one reply on the stream look like a unary call on the wire.
grpc::StatusCode AskReflection(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
  const grpc::Slice slice(std::string("\x3A\x00", 2));  // ServerReflectionRequest{list_services = ""}
  const grpc::ByteBuffer request(&slice, 1);
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request,
                                    &queue);
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status.error_code();
}

TEST_F(ServerTest, ReflectionOnlyWhenAsked) {
  ASSERT_TRUE(StartUnix().ok());
  EXPECT_EQ(AskReflection(Channel()), grpc::StatusCode::UNIMPLEMENTED);
  server_.reset();
  ASSERT_TRUE(StartUnix({.reflection = true}).ok());
  EXPECT_EQ(AskReflection(Channel()), grpc::StatusCode::OK);
}

TEST_F(ServerTest, TheClientSaysWhyNobodyAnswers) {
  const Address address{.kind = Address::Kind::kUnix, .path = socket_};
  const auto channel = MakeChannel({.address = address});
  ASSERT_TRUE(channel.ok());
  const absl::Status status = WaitUntilConnected(**channel, address, absl::Seconds(5));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("carrel serve"));
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  ASSERT_TRUE(StartUnix().ok());
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += Get(Channel(), "a").ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

}  // namespace
}  // namespace carrel::rpc
