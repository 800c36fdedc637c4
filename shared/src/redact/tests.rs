use super::*;

/// Checks each line against its redacted form; the secret in it is `s3cret`.
#[track_caller]
fn assert_masked(rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        let arguments: Vec<&str> = line.split(' ').collect();
        let shown = redact_arguments(arguments).join(" ");
        assert_eq!(shown, *expected, "of {line}");
        assert!(!shown.contains("s3cret"));
    }
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let rows = [
        ("-Djavax.net.ssl.keyStorePassword=s3cret", "-Djavax.net.ssl.keyStorePassword=***"),
        ("-Dpass=s3cret", "-Dpass=***"),
        ("-Dx.password=s3cret", "-Dx.password=***"),
        ("--token=abc", "--token=***"),
        ("--API_KEY=abc", "--API_KEY=***"),
        ("key=s3cret", "key=***"),
        ("PASSWORD=s3cret", "PASSWORD=***"),
        ("DB_PW=s3cret and more", "DB_PW=***"),
        ("--dbpw=s3cret", "--dbpw=***"),
        ("jdbc:db://h/x?user=a&password=s3cret&ssl=1", "jdbc:db://h/x?user=a&password=***&ssl=1"),
        ("user=a;pwd=s3cret;host=b", "user=a;pwd=***;host=b"),
        ("opts=password=s3cret", "opts=password=***"),
        ("{\"token\": \"s3cret\", \"a\": 1}", "{\"token\": ***, \"a\": 1}"),
        ("{'api_key': 's3cret'}", "{'api_key': ***}"),
        ("{:password => s3cret}", "{:password => ***}"),
        ("spark.hadoop.fs.s3a.secret.key=s3cret", "spark.hadoop.fs.s3a.secret.key=***"),
        ("https://ann:s3cret@h:8080/x", "https://ann:***@h:8080/x"),
        ("redis://:s3cret@h", "redis://:***@h"),
        ("Authorization: Bearer s3cret1234", "Authorization: ***"),
        ("Authorization: Token s3cret", "Authorization: ***"),
        ("X-Api-Key: s3cret", "X-Api-Key: ***"),
        ("Bearer s3cret1234", "Bearer ***"),
        ("-DkeyStorePassword=s3cret,and&more", "-DkeyStorePassword=***"),
        ("--password=pa\"s3cret", "--password=***"),
        ("java -jar x.jar --password s3cret --verbose", "java -jar x.jar --password *** --verbose"),
        ("app -p s3cret", "app -p ***"),
        ("sudo mysql -ps3cret db", "sudo mysql -p*** db"),
        ("curl -H 'Authorization: Token s3cret' h", "curl -H 'Authorization: ***' h"),
        ("app --password 's3cret with spaces' -v", "app --password *** -v"),
        ("export DB_PASSWORD=s3cret; exec app", "export DB_PASSWORD=***; exec app"),
        (r#"{\"password\":\"s3cret\"}"#, r#"{\"password\":***}"#),
        ("https://ann:s3/cret@h", "https://ann:***@h"),
        ("https://ann:p@s3cret@h", "https://ann:***@h"),
        ("pass:s3cret", "pass:***"),
        // Text without a secret is unchanged.
        ("-H", "-H"),
        ("/opt/java", "/opt/java"),
        ("kafka.Kafka", "kafka.Kafka"),
        ("-Xmx1G", "-Xmx1G"),
        ("http://h:8080/x", "http://h:8080/x"),
        ("--password-file=", "--password-file="),
        ("--password-file=/etc/app/password", "--password-file=/etc/app/password"),
        ("PWD=/opt/app", "PWD=/opt/app"),
        ("--bypass=1", "--bypass=1"),
        ("-Debug=1", "-Debug=1"),
    ];
    for (argument, expected) in rows {
        assert_eq!(redact_arguments([argument]), [expected]);
        assert!(!redact_arguments([argument])[0].contains("s3cret"));
    }
    let own = format!("rta_{}", "0a".repeat(32));
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl";
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
    for secret in [own.as_str(), token, key, "ghp_0123456789abcdefghij", "AKIAIOSFODNN7EXAMPLE"] {
        assert_eq!(redact_arguments([format!("x {secret} y").as_str()]), ["x *** y"], "{secret}");
    }
}

#[test]
fn flags_hide_the_argument_after_them() {
    assert_masked(&[
        (
            "x --password s3cret -storepass -s3cret --token --user ann",
            "x --password *** -storepass *** --token --user ann",
        ),
        ("app -pass s3cret", "app -pass ***"),
        ("nodetool -u ann -pw s3cret -p 7199 status", "nodetool -u ann -pw *** -p 7199 status"),
        ("openssl rsa -passin pass:s3cret", "openssl rsa -passin ***"),
        ("java -jar cli.jar -auth ann:s3cret", "java -jar cli.jar -auth ***"),
        ("mongod --auth --port 1", "mongod --auth --port 1"),
        ("docker login -u ann --password-stdin registry", "docker login -u ann --password-stdin registry"),
    ]);
}

#[test]
fn p_is_a_password_unless_it_is_a_port_or_the_program_says_otherwise() {
    assert_masked(&[
        ("app -p s3cret", "app -p ***"),
        ("app -p 8080", "app -p 8080"),
        ("app -p 8080:80 -p 127.0.0.1:53:53/udp -p 1-9", "app -p 8080:80 -p 127.0.0.1:53:53/udp -p 1-9"),
        ("app -p 99999", "app -p ***"),
        ("app -p /run/app.pid -p -v", "app -p /run/app.pid -p -v"),
        ("app -p 80s3cret", "app -p ***"),
        ("mongo -p 12345 -u ann", "mongo -p *** -u ann"),
        ("/usr/bin/mongosh -ps3cret", "/usr/bin/mongosh -p***"),
        ("sshpass -p 8080 ssh -p 22 h", "sshpass -p *** ssh -p 22 h"),
        ("mysql -ps3cret -P 3306", "mysql -p*** -P 3306"),
        ("mysql -p metrics", "mysql -p metrics"),
        ("mkdir -p data", "mkdir -p data"),
        ("java -p mods a.B -p s3cret", "java -p mods a.B -p ***"),
        ("psql -p 5432 -U ann", "psql -p 5432 -U ann"),
        ("cqlsh -u ann -p s3cret h", "cqlsh -u ann -p *** h"),
        ("docker run -p 8080:80 image", "docker run -p 8080:80 image"),
        // Behind a script or a command the flags are no longer the shell's.
        ("/bin/bash /opt/x.sh -p s3cret", "/bin/bash /opt/x.sh -p ***"),
        ("sh -p x.sh", "sh -p x.sh"),
        ("docker exec c app -p s3cret", "docker exec c app -p ***"),
        ("ssh -p 22 host app -p s3cret", "ssh -p 22 host app -p ***"),
        ("taskset -p 3 app -p s3cret", "taskset -p 3 app -p ***"),
        ("npm run x -- -p s3cret", "npm run x -- -p ***"),
        ("docker login -u ann -p 1234", "docker login -u ann -p ***"),
        ("redis-cli -p 6379 -a s3cret ping", "redis-cli -p 6379 -a *** ping"),
        ("curl -u ann:s3cret http://h", "curl -u ann:*** http://h"),
        ("curl --user ann http://h", "curl --user ann http://h"),
        ("mosquitto_pub -p 1883 -P s3cret", "mosquitto_pub -p 1883 -P ***"),
        ("ldapsearch -w s3cret -p 389", "ldapsearch -w *** -p 389"),
        ("app -proxy x -port 1", "app -proxy x -port 1"),
    ]);
}

#[test]
fn what_programs_say_is_hidden_too_and_stays_readable() {
    let rows = [
        ("login with password=s3cret failed", "login with password=*** failed"),
        (
            "2026-11-28 19:08:11,042 INFO [main] key=sensor-7 value=3",
            "2026-11-28 19:08:11,042 INFO [main] key=sensor-7 value=3",
        ),
        ("jdbc:postgresql://app:s3cret@db:5432/x", "jdbc:postgresql://app:***@db:5432/x"),
        ("Set-Cookie: JSESSIONID=s3cret; Path=/", "Set-Cookie: ***"),
        ("started with --token s3cret --port 80", "started with --token *** --port 80"),
        ("usage: app -p profile", "usage: app -p profile"),
        ("\tat a.b.TokenService.run(TokenService.java:7)", "\tat a.b.TokenService.run(TokenService.java:7)"),
        (
            "sasl.jaas.config = x required username=\"a\" password=\"s3cret\";",
            "sasl.jaas.config = x required username=\"a\" password=***;",
        ),
        ("\u{e9}t\u{e9} - \u{e9}", "\u{e9}t\u{e9} - \u{e9}"),
        ("", ""),
    ];
    for (line, expected) in rows {
        assert_eq!(redact_text(line), expected);
    }
}

#[test]
fn command_line_becomes_one_text() {
    assert_eq!(redact_command_line(["/opt/app", "--password", "x", "-v"]), "/opt/app --password *** -v");
}
