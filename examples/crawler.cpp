// SPDX-License-Identifier: MIT
// Downloads many files at once over HTTP and HTTPS. Without a URL it shows itself: it makes a
// site, serves it, and crawls that.
//
// The idea is in `crawl`, `download` and `fetch`. Around it, in crawler/: http.hpp, the
// protocol; output.hpp, files, progress and table; demo_site.hpp, the site.
#include <aster/aster.hpp>

#include "crawler/demo_site.hpp"
#include "crawler/http.hpp"
#include "crawler/output.hpp"

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

using aster::Coroutine;

struct Options {
  bool is_help = false;
  bool is_demo = false;
  std::vector<std::string> urls;
  std::filesystem::path folder = ".";
  int concurrency = 8;
  double timeout = 30;
  std::string authorities;                 // Trusted besides the system's: a file.
  const aster::SSLContext* tls = nullptr;  // For https.
};

// Ends what a connection still has to say when this goes, whatever the reason.
struct Closing {
  explicit Closing(aster::StreamWriter& of) : writer(of) {}
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  ~Closing() { writer.close(); }
  aster::StreamWriter& writer;
};

// One URL into one file. Whatever goes wrong is thrown, and leaves no file behind.
Coroutine<> fetch(Download& download, const Options& options, Progress& progress) {
  const http::Url url = http::parse_url(download.url);
  const aster::SSLContext* const tls = url.is_https ? options.tls : nullptr;
  aster::Connection connection = co_await aster::open_connection(url.host, url.port, {.ssl = tls});
  const Closing closing(connection.writer);
  connection.writer.write(http::get_request(url));

  const http::Response response = co_await http::read_response(connection.reader);
  download.status = response.status;
  if (response.status != 200) {
    std::string text = std::to_string(response.status) + " " + response.reason;
    if (!response.location.empty()) text += ", not followed to " + response.location;
    throw http::Error(http::printable(text, 200));
  }

  PartFile file(options.folder, download.name);
  http::Body body(connection.reader, response);
  for (;;) {
    const std::string piece = co_await body.read();
    if (piece.empty()) break;
    file.write(piece);
    download.bytes += piece.size();
    progress.received(piece.size());
  }
  file.keep();
}

// The same within the time allowed; errors end up in `download`. What is not caught is
// a cancellation (Ctrl-C): it is no std::exception and goes through to the top.
Coroutine<> download_one(Download& download, const Options& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  try {
    const std::chrono::duration<double> limit(options.timeout);
    co_await aster::wait_for(fetch(download, options, progress), limit);
  } catch (const aster::TimeoutError&) {
    download.error = "timed out";
  } catch (const std::exception& error) {
    download.error = error.what();
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  download.seconds = time.count();
  progress.finished(download);
}

// As many workers as downloads may run at once; each takes the next URL of the list until
// none is left. When one is cancelled or fails, the group ends the others.
Coroutine<> download_all(std::vector<Download>& downloads, const Options& options,
                         Progress& progress) {
  std::size_t next = 0;
  auto worker = [&]() -> Coroutine<> {
    while (next < downloads.size()) {
      Download& download = downloads[next++];
      co_await download_one(download, options, progress);
    }
  };
  co_await aster::with(aster::TaskGroup{}, [&](aster::TaskGroup& group) -> Coroutine<> {
    for (int i = 0; i < options.concurrency; ++i) group.create_task(worker);
    co_return;
  });
}

// Gives the exit status.
Coroutine<int> crawl(const Options& given) {
  Options options = given;
  std::filesystem::create_directories(options.folder);
  aster::SSLContext tls = aster::create_default_context();
  if (!options.authorities.empty()) tls.load_verify_locations(options.authorities);
  options.tls = &tls;
  std::vector<Download> downloads;
  std::set<std::string> names;
  for (const std::string& url : options.urls) {
    Download download;
    download.url = url;
    download.name = file_name(url, names);
    downloads.push_back(std::move(download));
  }

  Progress progress(downloads);
  try {
    co_await download_all(downloads, options, progress);
  } catch (const aster::CancelledError&) {
    progress.interrupted();
    throw;
  }
  co_return progress.finish() == 0 ? 0 : 1;
}

// Serves a site on a free port of this machine while crawling it, and compares.
Coroutine<int> demo(Options options) {
  const TemporaryFolder folder;
  const std::filesystem::path site = folder.path() / "site";
  options.folder = folder.path() / "downloads";
  std::filesystem::create_directories(site);
  const std::vector<std::string> names = make_files(site, 40);

  auto answer = [site](aster::StreamReader reader, aster::StreamWriter writer) -> Coroutine<> {
    const Closing closing(writer);
    try {
      co_await serve_file(site, reader, writer);
    } catch (const std::exception&) {
      // The crawler has gone away, as after Ctrl-C.
    }
  };
  aster::Server server = co_await aster::start_server(answer, "127.0.0.1", 0);
  const std::string address = server.sockets().front().getsockname().str();
  for (const std::string& name : names) options.urls.push_back("http://" + address + "/" + name);

  const int status = co_await crawl(options);
  server.close();

  std::size_t same_count = 0;
  for (const std::string& name : names) {
    if (read_file(site / name) == read_file(options.folder / name)) ++same_count;
  }
  std::printf("demo: %zu of %zu files are the same as on the server\n", same_count, names.size());
  co_return same_count == names.size() ? status : 1;
}

constexpr const char* usage =
    "usage: crawler [OPTION...] [URL...]\n"
    "\n"
    "Downloads each http:// or https:// URL into a file named after the last part of its\n"
    "path.\n"
    "Without a URL: a demonstration that needs no network.\n"
    "\n"
    "  --file LIST        also download the URLs in this file, one a line\n"
    "  --concurrency N    downloads at the same time, 1 to 1000 (8)\n"
    "  --output DIR       where the files go (the current directory)\n"
    "  --timeout SECONDS  for each download (30)\n"
    "  --cacert FILE      also trusts the certificates in this file (PEM)\n"
    "  -h, --help         show this\n"
    "\n"
    "Redirects are not followed but reported as failures, with their destination.\n"
    "Exit status: 0 when all succeeded, 1 when a download failed or the report could not\n"
    "be written, 2 for wrong usage. Ctrl-C and SIGTERM remove what is not complete.\n";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class Number>
Number parse_number(const std::string& option, const std::string& text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || !(value >= least && value <= most)) {
    throw UsageError(option + ": impossible value '" + text + "'");
  }
  return value;
}

void read_list(const std::string& path, std::vector<std::string>& urls) {
  std::ifstream in(path);
  if (!in) throw UsageError("cannot read " + path);
  for (std::string line; std::getline(in, line);) {
    line = std::string(http::trim(line.substr(0, line.find('\r'))));
    if (!line.empty() && line.front() != '#') urls.push_back(line);
  }
}

Options parse_arguments(const std::vector<std::string>& arguments) {
  Options options;
  bool wants_urls = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    const auto value = [&] {
      if (++i == arguments.size()) throw UsageError(option + " needs a value");
      return arguments[i];
    };
    if (option == "--help" || option == "-h") {
      options.is_help = true;
      return options;
    }
    if (option == "--file") {
      read_list(value(), options.urls);
      wants_urls = true;
    } else if (option == "--concurrency") {
      options.concurrency = parse_number(option, value(), 1, 1000);
    } else if (option == "--output") {
      options.folder = value();
      wants_urls = true;  // Of no use to the demo, so there must be a URL.
    } else if (option == "--timeout") {
      options.timeout = parse_number(option, value(), 0.001, 1e6);
    } else if (option == "--cacert") {
      options.authorities = value();
    } else if (option.starts_with('-')) {
      throw UsageError("unknown option " + option);
    } else {
      options.urls.push_back(option);
      wants_urls = true;
    }
  }
  options.is_demo = !wants_urls;
  if (wants_urls && options.urls.empty()) throw UsageError("there is no URL to download");
  return options;
}

int main(int argc, char** argv) {
  Options options;
  try {
    options = parse_arguments({argv + 1, argv + argc});
  } catch (const UsageError& error) {
    std::fprintf(stderr, "crawler: %s\nTry 'crawler --help'.\n", error.what());
    return 2;
  }
  int status = 0;
  if (options.is_help) {
    std::fputs(usage, stdout);
  } else {
    // Ends as by Ctrl-C: all tasks are cancelled, and their destructors remove what is
    // not complete.
    std::signal(SIGTERM, [](int) { ::kill(::getpid(), SIGINT); });
    status = aster::main(options.is_demo ? demo(options) : crawl(options));
  }
  flush_output();
  if (output_error == 0) return status;
  std::fprintf(stderr, "crawler: cannot write to standard output: %s\n",
               std::strerror(output_error));
  return 1;
}
