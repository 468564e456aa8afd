#include "credentials.h"

#include <grpcpp/security/auth_metadata_processor.h>

#include <fstream>
#include <iterator>
#include <utility>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include "absl/strings/ascii.h"
#include "strings.h"

namespace carrel::rpc {
namespace {

constexpr size_t kTokenBytesMin = 16;
constexpr std::string_view kBearer = "Bearer ";

absl::StatusOr<std::string> ReadFile(const std::string& path, std::string_view what) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) {
    return absl::InvalidArgumentError(StrCat(what, " ", path, " cannot be read"));
  }
  return text;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  auto text = ReadFile(path, "the token file");
  if (!text.ok()) return text;
  std::string token(absl::StripAsciiWhitespace(text->substr(0, text->find('\n'))));
  if (token.size() < kTokenBytesMin) {
    return absl::InvalidArgumentError(StrCat("the token in ", path, " has ", token.size(), " bytes: expected ",
                                             kTokenBytesMin, " or more, such as `openssl rand -hex 32` writes"));
  }
  return token;
}

class TokenCheck final : public grpc::AuthMetadataProcessor {
 public:
  explicit TokenCheck(std::string token) : token_(std::move(token)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* /*context*/, OutputMetadata* consumed,
                       OutputMetadata* /*response*/) override {
    const auto [begin, end] = metadata.equal_range("authorization");
    for (auto it = begin; it != end; ++it) {
      const std::string_view value(it->second.data(), it->second.size());
      if (value.substr(0, kBearer.size()) == kBearer && EqualSecrets(value.substr(kBearer.size()), token_)) {
        // The handlers have no business with it.
        consumed->emplace(std::string(it->first.data(), it->first.size()), std::string(value));
        return grpc::Status::OK;
      }
    }
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                        "this server wants its token in the metadata `authorization: Bearer ...`");
  }

 private:
  const std::string token_;
};

// Made by one thread and destroyed by one of gRPC's, which hands it over under locks of its own. ThreadSanitizer does
// not see those, for gRPC is not built with it, and is told.
void HandOver([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(object);
#endif
}
void TakeOver([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(object);
#endif
}

class TokenSender final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenSender(std::string token) : header_(StrCat(kBearer, token)) { HandOver(this); }
  TokenSender(const TokenSender&) = delete;
  TokenSender& operator=(const TokenSender&) = delete;
  ~TokenSender() override { TakeOver(this); }
  bool IsBlocking() const override { return false; }
  grpc::Status GetMetadata(grpc::string_ref /*service*/, grpc::string_ref /*method*/,
                           const grpc::AuthContext& /*channel*/,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", header_);
    return grpc::Status::OK;
  }

 private:
  const std::string header_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsServerCredentials(const TlsFiles& tls) {
  auto cert = ReadFile(tls.cert_file, "the certificate");
  if (!cert.ok()) return cert.status();
  auto key = ReadFile(tls.key_file, "the private key");
  if (!key.ok()) return key.status();
  grpc::SslServerCredentialsOptions ssl(tls.ca_file.empty()
                                            ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ssl.pem_key_cert_pairs.push_back({*std::move(key), *std::move(cert)});
  if (!tls.ca_file.empty()) {
    auto ca = ReadFile(tls.ca_file, "the clients' CA");
    if (!ca.ok()) return ca.status();
    ssl.pem_root_certs = *std::move(ca);
  }
  return grpc::SslServerCredentials(ssl);
}

}  // namespace

bool EqualSecrets(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference =
        static_cast<unsigned char>(difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
  }
  return difference == 0;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TcpServerCredentials(const ServerOptions& options) {
  const std::string where = options.listen.ToString();
  const bool encrypted = !options.tls.cert_file.empty() && !options.tls.key_file.empty();
  const bool mutual = encrypted && !options.tls.ca_file.empty();
  const bool token = !options.token_file.empty();
  if (options.tls.cert_file.empty() != options.tls.key_file.empty()) {
    return absl::InvalidArgumentError("TLS takes both rpc.tls_cert_file and rpc.tls_key_file: only one of them is set");
  }
  if (!mutual && !token && !options.services_check_callers) {
    return absl::InvalidArgumentError(
        StrCat("refusing to listen on ", where,
               ": anyone who reaches the port could run code. Set rpc.tls_cert_file, "
               "rpc.tls_key_file and rpc.tls_ca_file (mutual TLS), or rpc.token_file, or listen on unix:PATH"));
  }
  if (!encrypted && !options.listen.loopback()) {
    return absl::InvalidArgumentError(StrCat("refusing to listen on ", where,
                                             " without TLS: the token or the keys would travel in clear. Set "
                                             "rpc.tls_cert_file and rpc.tls_key_file, or listen on 127.0.0.1"));
  }
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (encrypted) {
    auto tls = TlsServerCredentials(options.tls);
    if (!tls.ok()) return tls;
    credentials = *std::move(tls);
  } else {
    // Checks that the peer is on this machine, sends nothing; unlike insecure credentials it lets a processor refuse
    // a call before its handler runs.
    credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  }
  if (token) {
    auto secret = ReadToken(options.token_file);
    if (!secret.ok()) return secret.status();
    credentials->SetAuthMetadataProcessor(std::make_shared<TokenCheck>(*std::move(secret)));
  }
  return credentials;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TcpChannelCredentials(const ChannelOptions& options) {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (!options.tls.ca_file.empty()) {
    grpc::SslCredentialsOptions ssl;
    auto ca = ReadFile(options.tls.ca_file, "the servers' CA");
    if (!ca.ok()) return ca.status();
    ssl.pem_root_certs = *std::move(ca);
    if (!options.tls.cert_file.empty()) {
      auto cert = ReadFile(options.tls.cert_file, "the certificate");
      if (!cert.ok()) return cert.status();
      auto key = ReadFile(options.tls.key_file, "the private key");
      if (!key.ok()) return key.status();
      ssl.pem_cert_chain = *std::move(cert);
      ssl.pem_private_key = *std::move(key);
    }
    credentials = grpc::SslCredentials(ssl);
  } else if (options.address.loopback()) {
    credentials = grpc::experimental::LocalCredentials(LOCAL_TCP);
  } else {
    return absl::InvalidArgumentError(
        StrCat("refusing to talk to ", options.address.ToString(), " in clear: set rpc.tls_ca_file"));
  }
  if (options.token_file.empty()) return credentials;
  auto token = ReadToken(options.token_file);
  if (!token.ok()) return token.status();
  // Without TLS only loopback is left (above), so the plugin may send over a channel without privacy.
  return grpc::CompositeChannelCredentials(
      credentials, grpc::experimental::MetadataCredentialsFromPlugin(std::make_unique<TokenSender>(*std::move(token)),
                                                                     GRPC_SECURITY_NONE));
}

}  // namespace carrel::rpc
