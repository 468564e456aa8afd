#include "cli/http_client.h"

#include <curl/curl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "rpc/address.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr size_t kBodyBytesMax = 64 << 20;
constexpr long kConnectMs = 10'000;
constexpr int kTickMs = 50;

// libcurl's global state: made before the first use, and left to the process's end.
void InitCurl() { static const CURLcode initialised [[maybe_unused]] = curl_global_init(CURL_GLOBAL_DEFAULT); }

bool HasControl(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
  }
  return false;
}

std::string HostOf(const std::string& url) {
  const size_t begin = url.find("://") + 3;
  std::string host = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.rfind(':'));
}

bool Loopback(const std::string& url) {
  return rpc::Address{.kind = rpc::Address::Kind::kTcp, .path = "", .host = HostOf(url)}.loopback();
}

// One transfer; what the callbacks see.
struct Transfer {
  const HttpRequest& request;
  CURL* easy;
  HttpReply reply;
  absl::Status failure;

  [[nodiscard]] bool good() const { return reply.status >= 200 && reply.status < 300; }
};

size_t OnBody(char* data, size_t one, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  long status = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  const std::string_view bytes(data, one * size);
  if (transfer.request.sink && transfer.good()) {
    transfer.failure = transfer.request.sink(bytes);
  } else if (transfer.reply.body.size() + bytes.size() > kBodyBytesMax) {
    transfer.failure =
        absl::ResourceExhaustedError(StrCat("the answer to ", transfer.request.method, " ", transfer.request.path,
                                            " has more than ", kBodyBytesMax, " bytes"));
  } else {
    transfer.reply.body += bytes;
  }
  return transfer.failure.ok() ? bytes.size() : CURL_WRITEFUNC_ERROR;
}

int OnProgress(void* context, curl_off_t, curl_off_t, curl_off_t upload_all, curl_off_t uploaded) {
  const auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.request.progress && upload_all > 0) {
    transfer.request.progress(static_cast<uint64_t>(uploaded), static_cast<uint64_t>(upload_all));
  }
  return 0;
}

struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeForm {
  void operator()(curl_mime* form) const { curl_mime_free(form); }
};
using Headers = std::unique_ptr<curl_slist, FreeHeaders>;
using Form = std::unique_ptr<curl_mime, FreeForm>;

void Append(Headers& headers, const std::string& line) {
  headers.reset(curl_slist_append(headers.release(), line.c_str()));
}

absl::StatusOr<Form> FormOf(CURL* easy, const HttpRequest& request) {
  struct stat info {};
  if (::stat(request.file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat(request.file, " cannot be read, or is no file"));
  }
  Form form(curl_mime_init(easy));
  for (const auto& [name, value] : request.fields) {
    curl_mimepart* part = curl_mime_addpart(form.get());
    curl_mime_name(part, name.c_str());
    curl_mime_data(part, value.data(), value.size());
  }
  curl_mimepart* part = curl_mime_addpart(form.get());
  curl_mime_name(part, "file");
  if (curl_mime_filedata(part, request.file.c_str()) != CURLE_OK) {
    return absl::InvalidArgumentError(StrCat(request.file, " cannot be read: ", std::strerror(errno)));
  }
  curl_mime_filename(part, request.file_name.c_str());
  curl_mime_type(part, "application/octet-stream");
  return form;
}

absl::Status CurlStatus(CURLcode code, const char* detail, const HttpTarget& target, const HttpRequest& request) {
  const std::string words = detail[0] != '\0' ? detail : curl_easy_strerror(code);
  const std::string where = target.unix_socket.empty() ? target.url : target.unix_socket;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(StrCat(request.method, " ", where, request.path, ": ", words));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(StrCat(where, " is no URL of a server: expected http://HOST:PORT"));
    case CURLE_READ_ERROR:
      return absl::InvalidArgumentError(StrCat("reading ", request.file, " failed: ", words));
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return absl::UnavailableError(StrCat("cannot reach ", where, ": ", words,
                                           target.unix_socket.empty()
                                               ? ": is `carrel serve` running? CARREL_URL names another server"
                                               : ": is `carrel serve` running with this data directory?"));
    default:
      return absl::UnavailableError(StrCat(request.method, " ", where, request.path, ": ", words));
  }
}

}  // namespace

class HttpClient::Impl {
 public:
  explicit Impl(HttpTarget target) : target_(std::move(target)) {
    InitCurl();
    multi_ = curl_multi_init();
    easy_ = curl_easy_init();
  }
  ~Impl() {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::StatusOr<HttpReply> Perform(const HttpRequest& request);
  const HttpTarget& target() const { return target_; }

 private:
  void SetTarget(const HttpRequest& request);
  void SetPatience(const HttpRequest& request);
  CURLcode Drive(Transfer& transfer);

  HttpTarget target_;
  CURLM* multi_;
  CURL* easy_;  // one, so that the connection is kept
};

void HttpClient::Impl::SetTarget(const HttpRequest& request) {
  curl_easy_setopt(easy_, CURLOPT_URL, StrCat(target_.url, request.path).c_str());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, "carrel/" CARREL_VERSION);
  if (!target_.unix_socket.empty()) curl_easy_setopt(easy_, CURLOPT_UNIX_SOCKET_PATH, target_.unix_socket.c_str());
  if (!target_.ca_file.empty()) curl_easy_setopt(easy_, CURLOPT_CAINFO, target_.ca_file.c_str());
  if (!target_.unix_socket.empty() || Loopback(target_.url)) curl_easy_setopt(easy_, CURLOPT_NOPROXY, "*");
}

void HttpClient::Impl::SetPatience(const HttpRequest& request) {
  if (request.sink || !request.file.empty()) {
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(absl::ToInt64Seconds(request.patience)));
  } else {
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(request.patience)));
  }
}

CURLcode HttpClient::Impl::Drive(Transfer& transfer) {
  curl_multi_add_handle(multi_, easy_);
  CURLcode result = CURLE_OK;
  for (int running = 1; running > 0 && transfer.failure.ok();) {
    if (curl_multi_perform(multi_, &running) != CURLM_OK) {
      result = CURLE_FAILED_INIT;
      break;
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE) result = message->data.result;
    }
    if (transfer.request.tick && transfer.failure.ok()) transfer.failure = transfer.request.tick();
    if (running > 0) curl_multi_poll(multi_, nullptr, 0, kTickMs, nullptr);
  }
  curl_multi_remove_handle(multi_, easy_);
  return result;
}

absl::StatusOr<HttpReply> HttpClient::Impl::Perform(const HttpRequest& request) {
  if (HasControl(target_.key)) {
    return absl::InvalidArgumentError("the API key holds a control character: expected one line of text");
  }
  curl_easy_reset(easy_);
  SetTarget(request);
  SetPatience(request);
  Headers headers;
  Append(headers, "Accept: application/json");
  // What OpenAI's schemas have no room for: citations, pages, limits.
  Append(headers, "X-Carrel: 1");
  Append(headers, "OpenAI-Beta: assistants=v2");
  if (!target_.key.empty()) Append(headers, StrCat("Authorization: Bearer ", target_.key));
  Form form;
  if (!request.file.empty()) {
    auto made = FormOf(easy_, request);
    if (!made.ok()) return made.status();
    form = *std::move(made);
    curl_easy_setopt(easy_, CURLOPT_MIMEPOST, form.get());
  } else if (!request.json.empty()) {
    Append(headers, "Content-Type: application/json");
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.json.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.json.size()));
  } else if (request.method == "POST") {
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, "");
  }
  curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers.get());
  char detail[CURL_ERROR_SIZE] = {};
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, detail);
  Transfer transfer{.request = request, .easy = easy_, .reply = {}, .failure = {}};
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy_, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy_, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(easy_, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = Drive(transfer);
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  if (!transfer.failure.ok()) return transfer.failure;
  // A server that refuses an upload early answers and closes: the answer is what counts.
  const bool refused = (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR) && status >= 400;
  if (code != CURLE_OK && !refused) return CurlStatus(code, detail, target_, request);
  return std::move(transfer.reply);
}

HttpClient::HttpClient(HttpTarget target) : impl_(std::make_unique<Impl>(std::move(target))) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

absl::StatusOr<HttpReply> HttpClient::Perform(const HttpRequest& request) { return impl_->Perform(request); }
const HttpTarget& HttpClient::target() const { return impl_->target(); }

std::string EncodeUrl(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
    if (plain || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

}  // namespace carrel::cli
