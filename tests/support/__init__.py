"""What the tests share. A test module imports from here, never from another test module.

The daemon and its clients

====================== ===================================================================
daemon                 Daemon: doorbelld as a child process; ``eventually`` waits for anything
secure                 SecureDaemon: the same over TLS; certificates, and a client in pieces
paths                  the paths that a daemon serves
kept_visits            KeptVisits: visits in a folder before a daemon starts with it
other_site             OtherSite: a web server that is not ours
passwords              set a password, log in
raw                    requests and responses byte by byte; what a refusal looks like
exposition             Exposition: /metrics, read strictly by the official client's parser
stream_parser          StreamParser: the one parser of the MJPEG stream
stream                 Stream: one viewer that reads part by part
live_page              LivePage: reads the page's stream, as the page does
live_stream            LiveStream: one that reads the page's stream
viewer_group           ViewerGroup: many viewers at once, none of which may lose a picture
socketpairs            both ends of a viewer's connection in this process
phone                  Phone: the page as a user sees and touches it
visits_server          VisitsServer: visits that a test has made up, as docs/visits.md says
posed_page             PosedPage: the page in any state, with any picture on it
chromium               Debian's browser as a child process
engines                Engine and Tab: the page in any browser, as far as all can show it
firefox                Debian's Firefox, driven over WebDriver BiDi
webkit                 Debian's WebKitGTK, the engine of iPhones, in a window that hides it
webkit_view            the program that it runs
scripts                what a browser of a given year makes of the page's JavaScript
old_browsers           today's browser without what is newer than 2018
styles                 what a browser of 2018 makes of the page's CSS
node                   the page's modules without a browser
crowding               what lies on top of another, or cannot be reached
axe                    what is wrong with a page for people who see, hear or move differently
dashboard              Dashboard: a page of another site that shows the doorbell
====================== ===================================================================

Cameras and pictures

====================== ===================================================================
pipe_camera            PipeCamera: a named pipe; the test decides every frame
web_camera             WebCamera: an MJPEG camera in the network
raw_camera             RawCamera: a network camera that sends any bytes at all
ringing                Door: a daemon whose bell a test presses, and the chimes of a page
rtsp_server            RtspServer: GStreamer's, with cameras that need a password, or UDP
gstreamer_server       the program that it runs
video_engine           VideoEngine: an RTSP server to which a program publishes
gstreamer_relay        the program that it runs
v4l2                   V4l2Device: a webcam, as a preloaded library
watch_camera           the child process that opens that webcam
picamera_library       the real picamera without a Raspberry Pi
input_devices          InputKernel: buttons and keyboards that a test plugs in and presses
picamera2_library      a picamera2 in plain Python, for what needs a Raspberry Pi
picamera2_settings     the same with settings and tuning files
libcamera_offers       what real cameras offer to set, as picamera2 shows it
pictures               pictures that tests can distinguish; large and broken ones
films                  short videos, and how a phone says which way up they belong
numbered_pictures      pictures with a number that survives any decoder
movements              a door on which people walk, trees wave and lamps are switched on
visits                 visits, recorded in no time
full_disk              a process that records visits until its disk is full
visit_writer           a process that records visits until it is killed
cards                  distinguishes placeholder cards from pictures
reasons                the reason that belongs to each sentence about a camera
====================== ===================================================================

The machine around them

====================== ===================================================================
service_manager        ServiceManager: as much of systemd as a daemon notices
managed                a daemon under it, restarted and killed
network_namespace      NetworkNamespace: a network of its own; NamespacedDaemon in it
slow_link              SlowLink: a machine and a phone, with a slow link between them
wire                   Wire: connections that can be cut or go dead
ports                  ports that stay free while tests run side by side
mosquitto              Mosquitto: the MQTT broker, killed and frozen; what its clients get
fake_broker            FakeBroker: one that does what a real one rarely does
paho_versions          the libraries for MQTT of Debian 11, 12 and 13
proxy_servers          nginx, HAProxy and Caddy as child processes
reverse_proxies        the same in front of a daemon
plain_proxies          the same, hardly set up
webhook_receiver       WebhookReceiver: a program that gets what the webhook sends
ntfy_server            NtfyServer: Debian 13's, with its users and subscribers
news                   what targets of notifications are given
hostile_server         HostileServer: answers with any bytes, at any pace, or never
proxy_manual           the configurations in docs/proxies.md
home_assistant         HomeAssistant: its ingress, with the daemon as an add-on
discovery_rules        DiscoveryRules: what it accepts as an MQTT device
fault_injector         FaultInjector: a function of the daemon that fails on demand
faulty_system          FaultySystem: an operating system that refuses something
fault_observer         FaultObserver: what a daemon reports about a fault
sitecustomize          code that a child process runs before anything else
preload                compiles the libraries in C
check_chain.java       Java's judgement of a chain of certificates
attack                 attackers as processes of their own
====================== ===================================================================

Measures and rules

====================== ===================================================================
condition              Condition: descriptors, threads and memory, before and after
processes              what the kernel knows of a process
cost                   bounds of processor time
fuzzing                how often hypothesis tries a property
process_guard          ProcessGuard: no process without the marker ``process``
====================== ===================================================================

Programs for files in this repository

====================== ===================================================================
make_placeholder       draws the placeholder that is shipped
make_screenshots       takes the README's pictures
scene                  the front door that they show
====================== ===================================================================
"""
