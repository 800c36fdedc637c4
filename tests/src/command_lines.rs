//! Command lines for the benches: unrelated processes of a busy host, and 14 services.

/// Number of services.
pub const SERVICES: usize = 14;

/// Argument positions of class and file that distinguish each kind of service, as in the
/// shipped configuration.
const PLACES: [(usize, usize); 4] = [(21, 22), (5, 7), (16, 17), (47, 48)];

/// Returns the command line of the unrelated process with this number: shells, interpreters, servers, and for
/// one in six a JVM with about 3 kB of class path; 2 to 60 arguments.
pub fn unrelated(number: usize) -> Vec<String> {
    let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    match number % 6 {
        0 => {
            let jars = (0..60).map(|jar| format!("/opt/app-{number}/lib/some-library-{jar}.{number}.jar"));
            let mut line = words("/usr/lib/jvm/java-8/bin/java -server -Xms512m -Xmx2g -XX:+UseG1GC -cp");
            line.push(jars.collect::<Vec<_>>().join(":"));
            let options = number % 40;
            line.extend(
                (0..options).map(|option| format!("-Dapp.option.{option}=/srv/data/{number}/{option}")),
            );
            line.push(format!("com.example.app{number}.Main"));
            line.extend(words("--config /etc/app/application.properties"));
            line
        }
        1 => words(&format!(
            "/usr/bin/python3 -u /srv/jobs/job_{number}.py --input /data/in/{number} --workers 4 --level info"
        )),
        2 => words(&format!("/bin/bash /usr/local/bin/run-{number}.sh {number}")),
        3 => words(&format!(
            "postgres: analytics warehouse 10.0.{}.{}({number}) idle",
            number % 250,
            number % 200
        )),
        4 => words(&format!(
            "/usr/sbin/nginx -g daemon,off; -c /etc/nginx/site-{number}.conf -p /var/lib/nginx/{number}/"
        )),
        _ => words(&format!(
            "/usr/bin/node --max-old-space-size=512 /srv/web/{number}/server.js --port {number} --env production"
        )),
    }
}

/// Returns the name of the service with this number.
pub fn service_name(number: usize) -> String {
    format!("service {number}")
}

/// Returns a service's command line, that of a JVM. `token` distinguishes it from those of other tests.
pub fn service(number: usize, token: &str) -> Vec<String> {
    let (class, file) = PLACES[number % PLACES.len()];
    let mut line = vec!["/usr/lib/jvm/java-8/bin/java".to_owned()];
    for at in 1..=file {
        line.push(match at {
            _ if at == class => format!("com.example.service{number}.Daemon"),
            _ if at == file => format!("config/service-{number}-{token}.properties"),
            _ => format!("-Dservice.option.{at}=/opt/service/lib/{at}"),
        });
    }
    line
}

/// Returns the TOML of all services, with three criteria each, like the shipped components.
pub fn services_toml(token: &str) -> String {
    let component = |number: usize| {
        let (class, file) = PLACES[number % PLACES.len()];
        format!(
            "[[component]]\nname = \"{name}\"\ncriteria = [\n    {{ index = 0, regex = 'java' }},\n    \
             {{ index = {file}, regex = 'config/service-{number}-{token}\\.properties' }},\n    \
             {{ index = {class}, regex = 'com\\.example\\.service{number}\\.Daemon' }},\n]\n",
            name = service_name(number),
        )
    };
    (0..SERVICES).map(component).collect()
}
