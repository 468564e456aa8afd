#include "scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

std::string PemOf(const std::function<int(BIO*)>& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  Require(write(bio) == 1);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string pem(data, length);
  BIO_free(bio);
  return pem;
}

// One connection's bytes, encrypted or not.
class Wire final : public ScriptedWire {
 public:
  Wire(int fd, SSL_CTX* tls) : fd_(fd), context_(tls) {}
  ~Wire() override {
    if (ssl_ != nullptr) SSL_free(ssl_);
  }

  bool Encrypt() {
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    const bool done = SSL_accept(ssl_) == 1;
    ERR_clear_error();
    return done;
  }
  bool Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const auto n = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                     : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(n);
    }
    return true;
  }
  // False at the end.
  bool ReadMore(std::string& buffer) {
    char piece[4096];
    const auto n = ssl_ != nullptr ? SSL_read(ssl_, piece, sizeof piece) : ::recv(fd_, piece, sizeof piece, 0);
    if (n <= 0) return false;
    buffer.append(piece, n);
    return true;
  }
  bool WaitForClose() override {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    std::string rest;
    while (::poll(&waiting, 1, 5000) > 0) {
      if (!ReadMore(rest)) return true;
    }
    return false;
  }

 private:
  int fd_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

// Reads one request; false: the client has gone.
bool ReadRequest(Wire& wire, std::string& buffer, ScriptedRequest& request) {
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!wire.ReadMore(buffer)) return false;
  }
  std::string head = buffer.substr(0, end);
  buffer.erase(0, end + 4);
  request = {};
  std::size_t line_end = head.find("\r\n");
  const std::string first = head.substr(0, line_end);
  request.method = first.substr(0, first.find(' '));
  request.target = first.substr(first.find(' ') + 1, first.rfind(' ') - first.find(' ') - 1);
  while (line_end != std::string::npos) {
    const std::size_t begin = line_end + 2;
    line_end = head.find("\r\n", begin);
    const std::string line = head.substr(begin, line_end == std::string::npos ? line_end : line_end - begin);
    const std::size_t colon = line.find(':');
    request.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  const std::size_t length = std::strtoul(request.headers["content-length"].c_str(), nullptr, 10);
  while (buffer.size() < length) {
    if (!wire.ReadMore(buffer)) return false;
  }
  request.body = buffer.substr(0, length);
  buffer.erase(0, length);
  return true;
}

}  // namespace

TestCertificate MakeTestCertificate() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_set_version(certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  Require(X509_sign(certificate, key, EVP_sha256()) > 0);
  TestCertificate made{.key_pem = PemOf([&](BIO* bio) {
                         return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
                       }),
                       .certificate_pem = PemOf([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); })};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

struct ScriptedServer::Impl {
  SSL_CTX* tls = nullptr;
  ~Impl() {
    if (tls != nullptr) SSL_CTX_free(tls);
  }
};

ScriptedServer::ScriptedServer(Script script, const TestCertificate* tls)
    : script_(std::move(script)), impl_(std::make_unique<Impl>()) {
  // OpenSSL writes to the socket without MSG_NOSIGNAL; a client that has hung up is no reason to die.
  ::signal(SIGPIPE, SIG_IGN);
  if (tls != nullptr) {
    impl_->tls = SSL_CTX_new(TLS_server_method());
    BIO* key_bio = BIO_new_mem_buf(tls->key_pem.data(), static_cast<int>(tls->key_pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
    BIO* cert_bio = BIO_new_mem_buf(tls->certificate_pem.data(), static_cast<int>(tls->certificate_pem.size()));
    X509* certificate = PEM_read_bio_X509(cert_bio, nullptr, nullptr, nullptr);
    Require(SSL_CTX_use_certificate(impl_->tls, certificate) == 1 && SSL_CTX_use_PrivateKey(impl_->tls, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(key_bio);
    BIO_free(cert_bio);
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  Require(::listen(listener_, 512) == 0);
  socklen_t length = sizeof address;
  Require(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
}

std::vector<ScriptedRequest> ScriptedServer::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ScriptedServer::Accept() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void ScriptedServer::Serve(int fd) {
  {
    Wire wire(fd, impl_->tls);
    std::string buffer;
    ScriptedRequest request;
    bool encrypted = impl_->tls == nullptr;
    bool more = true;
    while (more) {
      // With a certificate, a connection begins with TLS, or with CONNECT (the server is then the proxy too).
      if (!encrypted) {
        char first = 0;
        if (::recv(fd, &first, 1, MSG_PEEK) != 1) break;
        if (first != 'C') {
          if (!wire.Encrypt()) break;
          encrypted = true;
          continue;
        }
      }
      if (!ReadRequest(wire, buffer, request)) break;
      {
        const std::lock_guard lock(mutex_);
        request.number = static_cast<int>(requests_.size()) + 1;
        requests_.push_back(request);
      }
      more = script_(request, wire);
    }
  }
  const std::lock_guard lock(mutex_);
  std::erase(open_, fd);
  ::close(fd);
}

std::string PlainAnswer(int status, std::string_view content_type, std::string_view body,
                        std::string_view more_headers) {
  return absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Type: ", std::string(content_type),
                      "\r\nContent-Length: ", body.size(), "\r\n", std::string(more_headers), "\r\n",
                      std::string(body));
}

std::string StreamHead() {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
}

std::string Chunk(std::string_view data) {
  return absl::StrCat(absl::Hex(data.size()), "\r\n", std::string(data), "\r\n");
}

std::string LastChunk() { return "0\r\n\r\n"; }

std::string Event(std::string_view json) { return Chunk(absl::StrCat("data: ", std::string(json), "\n\n")); }

}  // namespace carrel::gateway
