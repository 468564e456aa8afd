// Serving gRPC as Carrel does: on a unix socket whose peers are checked, or on TCP with mutual TLS or a token; with
// health per service, deadlines, one log line and metrics per call, reflection when asked, and an orderly end.
//
//   auto signals = rpc::ShutdownSignals::Block();                      // before any thread
//   auto server = rpc::Server::Start({.listen = *address}, {{&service, Service::service_full_name()}});
//   (*server)->SetServing(true);                                       // health says NOT_SERVING until now
//   signals->Wait();
//   (*server)->Shutdown();
//
// Thread-safety: every method may be called from any thread. The services must outlive the Server.
// Who may connect. Unix socket: the kernel tells the uid of the peer (SO_PEERCRED at accept), and only our own uid,
// root and `allowed_uids` get any further; the socket has mode 0600 unless allowed_uids names others. TCP: a client
// certificate signed by `tls.client_ca_file`, or the token of `token_file` in the metadata `authorization: Bearer …`;
// the token travels in clear without TLS, so beyond loopback it needs `tls.cert_file` too. TCP with neither is
// refused: an open interpreter port would be code execution for the whole network.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rpc/address.h"

namespace carrel::rpc {

// PEM files; "" is none.
struct TlsFiles {
  std::string cert_file;  // our certificate and its chain
  std::string key_file;
  std::string ca_file;  // a server: who signs its clients (mutual TLS); a client: who signs its servers
};

// One number of the metrics page that is not about calls.
struct Sample {
  std::string name;  // carrel_...; samples of one name have one help and one kind
  std::string help;
  std::map<std::string, std::string> labels;
  double value = 0;
  enum class Kind : uint8_t { kGauge, kCounter } kind = Kind::kGauge;
};

struct ServerOptions {
  Address listen;
  // Besides our own uid and root.
  std::vector<uid_t> allowed_uids;
  TlsFiles tls;
  // First line of the file; at least 16 bytes.
  std::string token_file;
  // Every service checks the key of every call itself: TCP then needs neither mutual TLS nor a token, on loopback or
  // with tls.cert_file. Beyond loopback without TLS it is refused still, as the keys would travel in clear.
  bool services_check_callers = false;
  // A request message over it is RESOURCE_EXHAUSTED.
  uint64_t message_bytes_max = 8 << 20;
  // Threads that gRPC may use; calls beyond wait or are RESOURCE_EXHAUSTED.
  uint32_t threads_max = 512;
  // A call that comes without a deadline is cancelled after it.
  absl::Duration call_max = absl::Minutes(15);
  // How long calls may go on after Shutdown; then they are cancelled.
  absl::Duration drain = absl::Seconds(10);
  // Lets clients such as grpcurl list the services.
  bool reflection = false;
  // "HOST:PORT" of an HTTP page with Prometheus metrics; "": none. Not authenticated: keep it on loopback.
  std::string metrics_listen;
  // Asked for each time the page is read, from any thread; must outlive the Server. Unset: none.
  std::function<std::vector<Sample>()> samples;
};

struct ServedService {
  grpc::Service* service = nullptr;
  std::string name;  // X::service_full_name(); its name for the health service
};

class Server {
 public:
  // INVALID_ARGUMENT: the options do not go together; the message says what to set. ALREADY_EXISTS: somebody serves
  // there. UNAVAILABLE: the address cannot be bound.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                                     std::vector<ServedService> services);
  // As Shutdown().
  virtual ~Server() = default;

  // The health of all services. NOT_SERVING from Start until the first call.
  virtual void SetServing(bool serving) = 0;
  // Health says NOT_SERVING, new calls are refused, running ones get `drain`, then are cancelled; returns when all have
  // ended and the socket file is gone. Twice is fine.
  virtual void Shutdown() = 0;
  // What it listens on, with the port that the kernel chose.
  [[nodiscard]] virtual Address listening() const = 0;
  // The port of the metrics page; 0: none.
  [[nodiscard]] virtual uint16_t metrics_port() const = 0;
};

}  // namespace carrel::rpc
