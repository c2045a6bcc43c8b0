/* boost_server SOCKET: answers each line `get WORD` with WORD, `subscribe` with `ok`.
 *
 * The leak: a session that subscribes keeps a function that keeps the session.
 */
#include <boost/asio.hpp>
#include <boost/make_shared.hpp>
#include <boost/enable_shared_from_this.hpp>
#include <functional>
#include <istream>
#include <string>

using boost::asio::local::stream_protocol;

class Session : public boost::enable_shared_from_this<Session> {
public:
    explicit Session(stream_protocol::socket socket) : socket_(std::move(socket)) {}

    void read()
    {
        auto self = shared_from_this();
        boost::asio::async_read_until(
            socket_, input_, '\n', [self](const boost::system::error_code &error, std::size_t) {
                if (error)
                    self->socket_.close();
                else
                    self->answer();
            });
    }

private:
    void answer()
    {
        std::string line;
        std::getline(std::istream(&input_), line);
        if (line == "subscribe") {
            auto self = shared_from_this();
            publish_ = [self](const std::string &text) { self->output_ = text; };
            publish_("ok\n");
        } else {
            output_ = line.substr(4) + "\n";
        }
        auto self = shared_from_this();
        boost::asio::async_write(socket_, boost::asio::buffer(output_),
                                 [self](const boost::system::error_code &, std::size_t) { self->read(); });
    }

    stream_protocol::socket socket_;
    boost::asio::streambuf input_;
    std::string output_;
    std::function<void(const std::string &)> publish_;
};

class Server {
public:
    Server(boost::asio::io_context &context, const char *path) : acceptor_(context, stream_protocol::endpoint(path))
    {
        accept();
    }

private:
    void accept()
    {
        acceptor_.async_accept([this](const boost::system::error_code &error, stream_protocol::socket socket) {
            if (!error)
                open_session(std::move(socket));
            accept();
        });
    }

    __attribute__((noinline)) static void open_session(stream_protocol::socket socket)
    {
        auto session = boost::make_shared<Session>(std::move(socket)); // the leak
        session->read();
    }

    stream_protocol::acceptor acceptor_;
};

int main(int, char **arguments)
{
    boost::asio::io_context context(1);
    Server server(context, arguments[1]);
    context.run();
}
